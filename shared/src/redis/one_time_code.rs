//! One-time codes, and their encrypted storage in Redis.
//!
//! The worker creates a code when it first composes the mail, and the API reads it when a user enters a code. The request for the
//! code limits its attempts and its lifetime (see [`password_reset`](crate::models::password_reset)).

use std::{fmt, str::FromStr};

use chrono::TimeDelta;
use fred::{
    clients::Client,
    interfaces::KeysInterface,
    types::{Expiration, SetOptions},
};
use rand::{RngExt as _, rngs::SysRng};
use uuid::Uuid;

use crate::{
    batch::BatchClosed,
    crypto::{
        sealing::{OpenError, Seal},
        token_hash::equal,
    },
    types::{decimal, validation_error::Invalid},
};

/// The longest accepted text of a code, in bytes: ten digits of four bytes, each followed by a separator.
const MAX_TYPED_BYTES: usize = 80;

/// A code of decimal digits. `Debug` hides it; only [`Otp::expose`] returns its text.
#[derive(Clone)]
pub struct Otp(String);

impl Otp {
    /// Generates a uniformly distributed code with the operating system's random generator.
    ///
    /// # Panics
    /// If the operating system has no randomness. Nothing safe can be done then.
    #[must_use]
    pub fn generate(digits: u32) -> Self {
        let number = rand::rand_core::UnwrapErr(SysRng).random_range(0..10_u64.pow(digits));
        Self::from_value(number, digits)
    }

    /// Returns the last digits of a number.
    #[must_use]
    pub fn from_value(number: u64, digits: u32) -> Self {
        let number = number % 10_u64.pow(digits);
        Self(format!("{number:0width$}", width = digits as usize))
    }

    /// Parses a code as users type it: digits of any script, with blanks, hyphens and the invisible marks of copied text between
    /// them.
    pub fn from_typed(text: &str, digits: u32) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("invalid", format!("A code has {digits} digits."));
        if text.len() > MAX_TYPED_BYTES {
            return Err(invalid());
        }
        let typed: Option<String> = text
            .chars()
            .filter(|c| !(c.is_whitespace() || decimal::is_dash(*c) || decimal::is_invisible(*c)))
            .map(|c| char::from_digit(decimal::value(c)?, 10))
            .collect();
        typed
            .filter(|typed| typed.len() == digits as usize)
            .map(Self)
            .ok_or_else(invalid)
    }

    /// Parses a code from a JSON number, which has lost leading zeros.
    pub fn from_number(number: &str, digits: u32) -> Result<Self, Invalid> {
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new(
                "invalid",
                format!("A code has {digits} digits."),
            ));
        }
        Self::from_typed(
            &format!("{number:0>width$}", width = digits as usize),
            digits,
        )
    }

    /// Returns the digits, for the mail.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares two codes in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl FromStr for Otp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !(4..=10).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new("invalid", "A code has digits only."));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Otp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Otp(…)")
    }
}

/// Encrypts codes, so that a dump of Redis reveals none: with a key that is not in Redis, bound to the id of the reset.
pub struct CodeSeal(Seal);

impl CodeSeal {
    pub(crate) fn new(seal: Seal) -> Self {
        Self(seal)
    }

    fn seal(&self, reset: Uuid, code: &Otp) -> Vec<u8> {
        self.0.seal(reset.as_bytes(), code.0.as_bytes())
    }

    fn open(&self, reset: Uuid, sealed: &[u8]) -> Result<Otp, CodeError> {
        let digits = self.0.open(reset.as_bytes(), sealed)?;
        str::from_utf8(&digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(CodeError::Seal(OpenError))
    }
}

/// Stores codes in Redis, each under the id of its reset.
pub struct CodeStore {
    redis: Client,
    namespace: String,
    seal: CodeSeal,
}

/// Why a code could not be stored or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodeError {
    /// Redis failed or did not respond.
    #[error("Redis did not answer: {0}")]
    Redis(#[from] fred::error::Error),
    /// The code was not encrypted with the data key of this installation.
    #[error("a stored code cannot be opened with the data key of this installation")]
    Seal(#[from] OpenError),
    /// The code expired between two commands of one call.
    #[error("the code expired while it was created")]
    Expired,
    /// The batch of the call failed.
    #[error(transparent)]
    BatchClosed(#[from] BatchClosed),
}

impl CodeStore {
    /// Creates a store. The namespace separates installations that share a Redis.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, seal: CodeSeal) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            seal,
        }
    }

    /// Returns the codes of resets, and creates those that are missing. Redis keeps a new code for the given time. Concurrent
    /// callers get the same code. Costs one round trip.
    pub async fn get_or_create_many(
        &self,
        digits: u32,
        resets: &[(Uuid, TimeDelta)],
    ) -> Vec<Result<Otp, CodeError>> {
        let replies = match self.set_and_get(digits, resets).await {
            Ok(replies) => replies,
            Err(error) => return resets.iter().map(|_| Err(error.clone())).collect(),
        };
        // Two replies for each reset, or a single error if the connection failed.
        let first_error = replies.first().and_then(|first| first.clone().err());
        let open =
            |(index, (reset, _)): (usize, &(Uuid, TimeDelta))| match replies.get(index * 2 + 1) {
                Some(Ok(Some(sealed))) => self.seal.open(*reset, sealed),
                // A full or read-only Redis refuses SET but executes GET.
                Some(Ok(None)) => match replies.get(index * 2) {
                    Some(Err(error)) => Err(error.clone().into()),
                    _ => Err(CodeError::Expired),
                },
                Some(Err(error)) => Err(error.clone().into()),
                None => Err(first_error
                    .clone()
                    .map_or(CodeError::Expired, CodeError::Redis)),
            };
        resets.iter().enumerate().map(open).collect()
    }

    /// Returns the replies to SET and GET for each reset.
    async fn set_and_get(
        &self,
        digits: u32,
        resets: &[(Uuid, TimeDelta)],
    ) -> Result<Vec<Result<Option<Vec<u8>>, fred::error::Error>>, CodeError> {
        let commands = self.redis.pipeline();
        for (reset, lifetime) in resets {
            let sealed = self.seal.seal(*reset, &Otp::generate(digits));
            let key = self.key(*reset);
            let (expire, only_new) = (Expiration::PX(millis(*lifetime)), SetOptions::NX);
            let () = commands
                .set(&key, sealed.as_slice(), Some(expire), Some(only_new), false)
                .await?;
            let () = commands.get(&key).await?;
        }
        Ok(commands.try_all().await)
    }

    /// Returns the code of a reset, if Redis has one.
    pub async fn find(&self, reset: Uuid) -> Result<Option<Otp>, CodeError> {
        let sealed: Option<Vec<u8>> = self.redis.get(self.key(reset)).await?;
        sealed
            .map(|sealed| self.seal.open(reset, &sealed))
            .transpose()
    }

    /// Sets the remaining lifetimes of codes, in one round trip.
    pub async fn expire_many(&self, resets: &[(Uuid, TimeDelta)]) -> Result<(), CodeError> {
        let commands = self.redis.pipeline();
        for (reset, lifetime) in resets {
            let () = commands
                .pexpire(self.key(*reset), millis(*lifetime), None)
                .await?;
        }
        let () = commands.all().await?;
        Ok(())
    }

    /// Deletes the code of a reset.
    pub async fn delete(&self, reset: Uuid) -> Result<(), CodeError> {
        let () = self.redis.del(self.key(reset)).await?;
        Ok(())
    }

    fn key(&self, reset: Uuid) -> String {
        format!("{}:code:{reset}", self.namespace)
    }
}

/// Returns at least 1, because Redis accepts no smaller lifetime.
fn millis(lifetime: TimeDelta) -> i64 {
    lifetime.num_milliseconds().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// O1: the digits come from the whole range, including leading zeros.
    #[test]
    fn generated_codes_have_all_digits_and_differ() {
        let codes: std::collections::HashSet<_> = (0..500)
            .map(|_| Otp::generate(6).expose().to_owned())
            .collect();
        assert!(codes.iter().all(|code| code.len() == 6));
        assert!(codes.len() > 480, "{} different codes of 500", codes.len());
        assert!(codes.iter().any(|code| code.starts_with('0')));
    }

    #[test]
    fn typed_code_is_read_in_every_script_and_grouping() {
        for typed in [
            "012345",
            " 012 345 ",
            "012-345",
            "0 1 2 3 4 5",
            "012\u{2011}345",
            "012\u{a0}345",
            "\u{200f}\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{200e}",
            "\u{6f0}\u{6f1}\u{6f2}\u{6f3}\u{6f4}\u{6f5}",
            "\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}",
        ] {
            assert_eq!(
                Otp::from_typed(typed, 6).unwrap().expose(),
                "012345",
                "{typed}"
            );
        }
        for wrong in [
            "",
            "-",
            "12345",
            "0012345",
            "01234a",
            "012_345",
            "\u{2460}12345",
            &"0 ".repeat(100_000),
        ] {
            assert!(Otp::from_typed(wrong, 6).is_err(), "{wrong}");
        }
    }

    #[test]
    fn number_gets_its_leading_zeros_back() {
        for (number, code) in [("12345", "012345"), ("0", "000000"), ("123456", "123456")] {
            assert_eq!(Otp::from_number(number, 6).unwrap().expose(), code);
        }
        for wrong in ["1234567", "-12345", "1.5", "1e5"] {
            assert!(Otp::from_number(wrong, 6).is_err(), "{wrong}");
        }
    }

    /// O4: what Redis holds is neither the code nor opens under another reset or key.
    #[test]
    fn a_sealed_code_opens_only_with_its_key_and_its_reset() {
        let [ours, theirs] = [1, 2].map(|byte| CodeSeal::new(Seal::new(&[byte; 32])));
        let (reset, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let code = Otp::generate(6);

        let sealed = ours.seal(reset, &code);

        assert!(
            !sealed
                .windows(6)
                .any(|bytes| bytes == code.expose().as_bytes())
        );
        assert!(ours.open(reset, &sealed).unwrap().matches(&code));
        assert!(ours.open(other, &sealed).is_err());
        assert!(theirs.open(reset, &sealed).is_err());
    }
}
