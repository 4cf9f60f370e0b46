//! `SECRET_KEY` and `SECRET_KEY_PREVIOUS`.

use std::iter;

use crate::{
    config::settings::{Environment, Settings},
    crypto::secret_key::{self, SecretKey},
};

/// The key that seals the data keys, and earlier ones that open what is not sealed by it yet.
#[derive(Clone, Debug)]
pub struct SecretKeys {
    current: SecretKey,
    previous: Vec<SecretKey>,
    /// The whole of `SECRET_KEY_PREVIOUS`, as a key may contain a comma or white space.
    unsplit: Option<SecretKey>,
}

impl SecretKeys {
    /// Reads the settings. Returns `None` if `SECRET_KEY` is missing, which is recorded as a fault.
    pub(super) fn read(settings: &mut Settings, environment: Environment) -> Option<Self> {
        let current: Option<SecretKey> = settings.required(
            "SECRET_KEY",
            "at least 32 random bytes, the same for every program (openssl rand -base64 32)",
        );
        if environment == Environment::Production
            && let Some(key) = &current
        {
            check(settings, "SECRET_KEY", key);
        }
        let previous = settings.text("SECRET_KEY_PREVIOUS").unwrap_or_default();
        Some(Self {
            current: current?,
            unsplit: previous.parse().ok(),
            previous: split(&previous),
        })
    }

    /// Returns a key without earlier ones.
    #[must_use]
    pub fn only(current: SecretKey) -> Self {
        Self {
            current,
            previous: Vec::new(),
            unsplit: None,
        }
    }

    /// Returns `SECRET_KEY`.
    #[must_use]
    pub fn current(&self) -> &SecretKey {
        &self.current
    }

    /// Returns the keys of `SECRET_KEY_PREVIOUS`, in their order.
    #[must_use]
    pub fn previous(&self) -> &[SecretKey] {
        &self.previous
    }

    /// Returns all keys, `SECRET_KEY` first.
    pub fn all(&self) -> impl Iterator<Item = &SecretKey> {
        iter::once(&self.current)
            .chain(&self.previous)
            .chain(&self.unsplit)
    }
}

/// Splits a list of keys, which are separated by commas or white space.
fn split(text: &str) -> Vec<SecretKey> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter_map(|key| key.parse().ok())
        .collect()
}

/// Records a fault if production must not use a key.
fn check(settings: &mut Settings, name: &str, key: &SecretKey) {
    if key.len() < secret_key::MIN_BYTES {
        settings.fault(
            name,
            "at least 32 bytes in production (openssl rand -base64 32)",
        );
    } else if key.is_guessable() {
        settings.fault(
            name,
            "random bytes in production, not words, numbers, repetitions, sequences, rows of keys or the digest of a word \
             (openssl rand -base64 32)",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previous_keys_are_split_at_commas_and_white_space() {
        for text in ["one,two", "one two", " one ,\n two\n", "one,,two,"] {
            let mut settings =
                Settings::from_pairs([("SECRET_KEY", "now"), ("SECRET_KEY_PREVIOUS", text)]);
            let keys = SecretKeys::read(&mut settings, Environment::Development).unwrap();
            let ids: Vec<_> = keys.all().map(SecretKey::id).collect();
            let expected = ["now", "one", "two", text.trim()]
                .map(|key| key.parse::<SecretKey>().unwrap().id());
            assert_eq!(ids, expected, "{text:?}");
        }
    }
}
