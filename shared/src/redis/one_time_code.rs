//! One-time codes: what they are, and where they live (Redis, sealed).
//!
//! A code is drawn by the worker when it first writes the mail and read by the API when somebody tries it. How often
//! it may be tried and how long it counts is the reset's business (`password_reset`), not this file's.

use std::{fmt, str::FromStr};

use chrono::TimeDelta;
use fred::{
    clients::Client,
    interfaces::KeysInterface,
    types::{Expiration, SetOptions},
};
use rand::{RngExt as _, rngs::SysRng};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use uuid::Uuid;

use crate::{
    batch::BatchClosed,
    crypto::token_hash::equal,
    types::{decimal, validation_error::Invalid},
};

/// The longest text that is read as a code, in bytes: ten digits of four bytes with a separator after each.
const MAX_TYPED_BYTES: usize = 80;

/// A code of decimal digits. It has no `Debug` of its content; [`Otp::expose`] is the one way to its text.
#[derive(Clone)]
pub struct Otp(String);

impl Otp {
    /// Draws a code of so many digits, each equally likely, from the operating system's generator.
    ///
    /// # Panics
    /// When the operating system has no randomness to give, as nothing safe can be done without.
    #[must_use]
    pub fn generate(digits: u32) -> Self {
        let number = rand::rand_core::UnwrapErr(SysRng).random_range(0..10_u64.pow(digits));
        Self(format!("{number:0width$}", width = digits as usize))
    }

    /// Reads a code of so many digits as people type it: digits of any script, with blanks, hyphens and the invisible marks
    /// of copied text anywhere.
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

    /// Reads a code of so many digits that was sent as a number, which has lost its leading zeros.
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

    /// The digits, for the mail that carries them.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether two codes are the same, in constant time.
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

/// Seals codes so that a dump of Redis shows none: ChaCha20-Poly1305 (RFC 8439) under a key that is not in Redis, bound
/// to the id of the reset.
pub struct CodeSeal {
    key: LessSafeKey,
    random: SystemRandom,
}

impl CodeSeal {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key =
            UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has the cipher's length");
        Self {
            key: LessSafeKey::new(key),
            random: SystemRandom::new(),
        }
    }

    fn seal(&self, reset: Uuid, code: &Otp) -> Result<Vec<u8>, CodeError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| CodeError::Seal)?;
        let mut text = code.0.clone().into_bytes();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(reset.as_bytes()),
                &mut text,
            )
            .map_err(|_| CodeError::Seal)?;
        Ok([&nonce[..], &text].concat())
    }

    fn open(&self, reset: Uuid, sealed: &[u8]) -> Result<Otp, CodeError> {
        let (nonce, text) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(CodeError::Seal)?;
        let mut text = text.to_vec();
        let digits = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(reset.as_bytes()),
                &mut text,
            )
            .map_err(|_| CodeError::Seal)?;
        str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(CodeError::Seal)
    }
}

/// The codes in Redis, each under the id of its reset.
pub struct CodeStore {
    redis: Client,
    namespace: String,
    seal: CodeSeal,
}

/// Why a code could not be kept or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodeError {
    /// Redis did not answer.
    #[error("Redis did not answer: {0}")]
    Redis(#[from] fred::error::Error),
    /// What is stored was not written with this `SECRET_KEY`.
    #[error("a stored code could not be sealed or opened with this SECRET_KEY")]
    Seal,
    /// The code expired between two steps of one call.
    #[error("the code expired while it was drawn")]
    Gone,
    /// Whoever was to ask Redis has ended.
    #[error(transparent)]
    BatchClosed(#[from] BatchClosed),
}

impl CodeStore {
    /// The codes of one installation; the namespace keeps those of others in the same Redis apart.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, seal: CodeSeal) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            seal,
        }
    }

    /// The codes of resets: those that are there, or else new ones, each of which Redis keeps for the time given with its
    /// reset. Of two callers at once both get the same code. It is one round trip for all of them.
    pub async fn draw_many(
        &self,
        digits: u32,
        resets: &[(Uuid, TimeDelta)],
    ) -> Vec<Result<Otp, CodeError>> {
        let answers = match self.draw_sealed(digits, resets).await {
            Ok(answers) => answers,
            Err(error) => return resets.iter().map(|_| Err(error.clone())).collect(),
        };
        // Two answers each; one error alone when none came.
        let none = answers.first().and_then(|first| first.clone().err());
        let open =
            |(index, (reset, _)): (usize, &(Uuid, TimeDelta))| match answers.get(index * 2 + 1) {
                Some(Ok(Some(sealed))) => self.seal.open(*reset, sealed),
                // A Redis that is full or read-only refuses the `SET` and answers the `GET`.
                Some(Ok(None)) => match answers.get(index * 2) {
                    Some(Err(error)) => Err(error.clone().into()),
                    _ => Err(CodeError::Gone),
                },
                Some(Err(error)) => Err(error.clone().into()),
                None => Err(none.clone().map_or(CodeError::Gone, CodeError::Redis)),
            };
        resets.iter().enumerate().map(open).collect()
    }

    /// Of each reset what `SET` and `GET` answered.
    async fn draw_sealed(
        &self,
        digits: u32,
        resets: &[(Uuid, TimeDelta)],
    ) -> Result<Vec<Result<Option<Vec<u8>>, fred::error::Error>>, CodeError> {
        let commands = self.redis.pipeline();
        for (reset, lifetime) in resets {
            let sealed = self.seal.seal(*reset, &Otp::generate(digits))?;
            let key = self.key(*reset);
            let (expire, only_new) = (Expiration::PX(millis(*lifetime)), SetOptions::NX);
            let () = commands
                .set(&key, sealed.as_slice(), Some(expire), Some(only_new), false)
                .await?;
            let () = commands.get(&key).await?;
        }
        Ok(commands.try_all().await)
    }

    /// The code of a reset, if it has one that Redis still keeps.
    pub async fn find(&self, reset: Uuid) -> Result<Option<Otp>, CodeError> {
        let sealed: Option<Vec<u8>> = self.redis.get(self.key(reset)).await?;
        sealed
            .map(|sealed| self.seal.open(reset, &sealed))
            .transpose()
    }

    /// Lets Redis drop the codes of resets, each after the time given with it, in one round trip.
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

    /// Drops the code of a reset.
    pub async fn forget(&self, reset: Uuid) -> Result<(), CodeError> {
        let () = self.redis.del(self.key(reset)).await?;
        Ok(())
    }

    fn key(&self, reset: Uuid) -> String {
        format!("{}:code:{reset}", self.namespace)
    }
}

/// At least one: Redis takes no other.
fn millis(lifetime: TimeDelta) -> i64 {
    lifetime.num_milliseconds().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// O1: the digits come from all of the range, leading noughts included.
    #[test]
    fn codes_have_the_asked_number_of_digits_and_differ() {
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
        let (ours, theirs) = (CodeSeal::new(&[1; 32]), CodeSeal::new(&[2; 32]));
        let (reset, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let code = Otp::generate(6);

        let sealed = ours.seal(reset, &code).unwrap();

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
