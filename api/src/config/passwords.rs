//! Rules and hashing of passwords.

use std::{path::PathBuf, time::Duration};

use latchkey_shared::config::settings::{Environment, Settings};

use crate::config::{breached_file, hash_cost::HashCost, timeout};

/// The lowest accepted `PASSWORD_MIN_LENGTH`, and its default (NIST SP 800-63B-4, 3.1.1.2; ASVS 6.2.1).
pub const MIN_PASSWORD_LENGTH: usize = 8;

/// Rules and hashing of passwords.
#[derive(Clone, Debug)]
pub struct PasswordSettings {
    /// `PASSWORD_MIN_LENGTH`: minimum length of a new password, in characters after NFKC.
    pub min_length: usize,
    /// `BREACHED_PASSWORDS_FILE`: passwords to refuse in addition to the common ones, and the length of the file at the start, in
    /// bytes.
    pub breached_file: Option<(PathBuf, u64)>,
    /// `ARGON2_…`: the cost of a hash.
    pub hash_cost: HashCost,
    /// `HASH_QUEUE_SECONDS`: maximum wait of a password for a free hash thread.
    pub hash_queue_timeout: Duration,
}

impl PasswordSettings {
    pub(super) fn read(settings: &mut Settings, environment: Environment) -> Self {
        Self {
            min_length: settings.within(
                "PASSWORD_MIN_LENGTH",
                MIN_PASSWORD_LENGTH,
                MIN_PASSWORD_LENGTH..=64,
            ),
            breached_file: read_breached_file(settings),
            hash_cost: HashCost::read(settings, environment),
            hash_queue_timeout: timeout(settings, "HASH_QUEUE_SECONDS", 5, 60),
        }
    }
}

fn read_breached_file(settings: &mut Settings) -> Option<(PathBuf, u64)> {
    const KEY: &str = "BREACHED_PASSWORDS_FILE";
    let path = PathBuf::from(settings.text(KEY)?);
    match breached_file::validate(&path) {
        Ok(length) => Some((path, length)),
        Err(error) => {
            let expected = "the path of a file of SHA1:count lines, ordered by hash, as Have I Been Pwned publishes them";
            settings.fault(KEY, &format!("{expected} ({error})"));
            None
        }
    }
}
