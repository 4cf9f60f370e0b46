//! Passwords as they are typed, and the rules for new ones (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, 6.2).

use std::{fmt, str::FromStr};

use latchkey_shared::{
    email::Email, invalid::Invalid, phone_number::PhoneNumber, user, username::Username,
};
use unicode_normalization::UnicodeNormalization as _;
use zxcvbn::feedback::{Feedback, Warning};

/// The fewest and the most characters, counted after NFKC.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Above this share of likeness a password is its owner's name over again.
const TOO_SIMILAR: f64 = 0.7;

/// A password somebody typed, in NFKC, so that it is the same from every keyboard. Never trimmed, never cut. It has no
/// `Debug` of its content.
pub struct Password(String);

/// A password that may be set: it has passed every rule.
pub struct NewPassword(Password);

/// What is known of the account that a new password is for.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its address.
    pub email: &'a Email,
    /// Its name.
    pub username: &'a Username,
    /// Its number.
    pub phone_number: Option<&'a PhoneNumber>,
}

impl FromStr for Password {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let too_long = || Invalid::new("too_long", "At most 128 characters.");
        if text.len() > Self::MAX_BYTES {
            return Err(too_long());
        }
        let password: String = text.nfkc().collect();
        if password.chars().count() > *LENGTH.end() {
            return Err(too_long());
        }
        Ok(Self(password))
    }
}

impl Password {
    /// The longest text that is normalised, in bytes. No text of 128 characters is longer before NFKC: a character is
    /// composed of four at most, each of 4 bytes.
    pub const MAX_BYTES: usize = 4 * 4 * *LENGTH.end();

    /// The bytes to hash.
    #[must_use]
    pub fn expose_to_hash(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Checks the rules that need no account: length, and the list of common passwords.
    ///
    /// # Errors
    /// When it is too short or too common.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.0.chars().count() < *LENGTH.start() {
            return Err(Invalid::new("too_short", "At least 8 characters."));
        }
        if is_common(&self.0) {
            return Err(Invalid::new(
                "too_common",
                "This is one of the most common passwords.",
            ));
        }
        Ok(())
    }

    /// Checks all rules, for its owner.
    ///
    /// # Errors
    /// When it is too short, too common, or too much like what everybody knows of its owner.
    pub fn accept_for(self, owner: Owner<'_>) -> Result<NewPassword, Invalid> {
        self.check()?;
        if let Some(what) = owner.resembled_by(&self.0) {
            return Err(Invalid::new(
                "too_similar",
                format!("Too similar to the {what}."),
            ));
        }
        Ok(NewPassword(self))
    }
}

impl NewPassword {
    /// The password, to hash it.
    #[must_use]
    pub fn into_inner(self) -> Password {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

/// Whether all of it is one entry of the list of common passwords, also backwards or with the usual digits for letters,
/// or the same or neighbouring characters throughout.
fn is_common(password: &str) -> bool {
    let estimate = zxcvbn::zxcvbn(password, &[]);
    let warning = estimate.feedback().and_then(Feedback::warning);
    estimate.sequence().len() == 1
        && matches!(
            warning,
            Some(
                Warning::ThisIsATop10Password
                    | Warning::ThisIsATop100Password
                    | Warning::ThisIsACommonPassword
                    | Warning::ThisIsSimilarToACommonlyUsedPassword
                    | Warning::RepeatsLikeAaaAreEasyToGuess
                    | Warning::SequencesLikeAbcAreEasyToGuess
                    | Warning::StraightRowsOfKeysAreEasyToGuess
            )
        )
}

impl<'a> Owner<'a> {
    /// What is known of an account.
    #[must_use]
    pub fn of(user: &'a user::Model) -> Self {
        Self {
            email: &user.email,
            username: &user.username,
            phone_number: user.phone_number.as_ref(),
        }
    }

    fn resembled_by(self, password: &str) -> Option<&'static str> {
        let mut known = vec![
            ("e-mail address", self.email.as_str()),
            ("e-mail address", self.email.local_part()),
            ("user name", self.username.as_str()),
        ];
        if let Some(number) = self.phone_number {
            known.push(("phone number", number.as_str()));
        }
        let password = password.to_lowercase();
        known
            .into_iter()
            .find(|(_, text)| {
                let text = text.to_lowercase();
                // Shorter texts are like everything.
                text.chars().count() >= 4
                    && (likeness(&password, &text) >= TOO_SIMILAR || is_mostly(&password, &text))
            })
            .map(|(what, _)| what)
    }
}

/// From 0 to 1: as written, and whatever the order of the words.
fn likeness(password: &str, text: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(text, password)
        .max(strsim::sorensen_dice(text, password))
}

/// Whether a password is a known text with next to nothing around it.
fn is_mostly(password: &str, text: &str) -> bool {
    password.contains(text) && password.chars().count() < text.chars().count() + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(password: &str) -> Result<(), &'static str> {
        let (email, username, number) = (
            "ada.lovelace@example.com".parse().unwrap(),
            "Countess Ada".parse().unwrap(),
            "+201001234567".parse().unwrap(),
        );
        let owner = Owner {
            email: &email,
            username: &username,
            phone_number: Some(&number),
        };
        password
            .parse::<Password>()
            .and_then(|password| password.accept_for(owner))
            .map(|_| ())
            .map_err(|invalid| invalid.code)
    }

    /// P1
    #[test]
    fn eight_to_128_characters_counted_after_nfkc() {
        assert_eq!(judge("kq9$wzt"), Err("too_short"));
        assert_eq!(judge("kq9$wztx"), Ok(()));
        assert_eq!(judge(&"éß漢🦀x1".repeat(22)[..]), Err("too_long"));
        // Each ligature counts as the letters it stands for: 4 characters become 8.
        assert_eq!(judge("ﬁﬂﬃﬁ"), Ok(()));
        assert_eq!("ﬁ".parse::<Password>().unwrap().0, "fi");
    }

    /// P1
    #[test]
    fn blanks_and_case_are_kept() {
        assert_eq!(
            "  Two Words ".parse::<Password>().unwrap().0,
            "  Two Words "
        );
    }

    /// P2
    #[test]
    fn no_composition_is_asked_for() {
        for plain in ["velvet harbour lantern", "qhzmvxkwpl", "4719302856471"] {
            assert_eq!(judge(plain), Ok(()), "{plain}");
        }
    }

    /// P3
    #[test]
    fn the_most_common_are_refused() {
        for common in [
            "password",
            "Password1",
            "12345678",
            "qwertyuiop",
            "iloveyou",
            "P@ssw0rd",
            "aaaaaaaa",
            "trustno1",
        ] {
            assert_eq!(judge(common), Err("too_common"), "{common}");
        }
    }

    /// P3
    #[test]
    fn what_is_known_of_the_owner_is_refused() {
        for similar in [
            "ada.lovelace@example.com",
            "ada.lovelace1",
            "Lovelace.Ada",
            "countess ada",
            "countessada!",
            "+201001234567",
            "201001234567",
        ] {
            assert_eq!(judge(similar), Err("too_similar"), "{similar}");
        }
    }
}
