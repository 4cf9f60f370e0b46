//! Phone numbers.

use std::{fmt, str::FromStr};

use phonenumber::{Mode, country};
use sea_orm::DeriveValueType;

use crate::types::{decimal, validation_error::Invalid};

/// The longest accepted text. Any written form of a number is shorter; the bound keeps long texts from the parser.
const MAX_CHARACTERS: usize = 45;

/// A country or territory whose numbers may lack the country code: two letters of ISO 3166-1 in upper case, such as `EG`.
#[derive(Clone, Copy, Debug)]
pub struct Region(country::Id);

impl FromStr for Region {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let unknown = |_| Invalid::new("choice", "Not a country code of two letters, such as EG.");
        text.parse().map(Self).map_err(unknown)
    }
}

/// An international number in ITU-T E.164 form, such as `+201001234567`.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String", from_str = "PhoneNumber::stored")]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Reads a number from a row. Checks only its form: whether it was assigned was checked when it was stored. Numbering plans
    /// change, and stored accounts have to stay readable. A full check would take a twentieth of the time of a profile request.
    fn stored(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix('+').unwrap_or_default();
        // ITU-T E.164, 6: at most fifteen digits.
        if !(1..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new("invalid", "Not in E.164 form."));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the number in E.164 form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a number that may be written as in its region, without the country code.
    pub fn in_region(text: &str, region: Option<Region>) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "invalid",
                "Not a valid international number. Write it with its country code, as in +201001234567.",
            )
        };
        // A character has at most four bytes; the marks of copied text do not count.
        let too_long = || Invalid::new("too_long", "At most 45 characters.");
        if text.len() > 4 * MAX_CHARACTERS {
            return Err(too_long());
        }
        if text.chars().any(char::is_control) {
            return Err(invalid());
        }
        let text = in_ascii(text);
        if text.chars().count() > MAX_CHARACTERS {
            return Err(too_long());
        }
        if !is_number(&text) {
            return Err(invalid());
        }
        let region = region.map(|it| it.0);
        let number = phonenumber::parse(region, text).map_err(|_| invalid())?;
        if !number.is_valid() || number.extension().is_some() {
            return Err(invalid());
        }
        Ok(Self(number.format().mode(Mode::E164).to_string()))
    }

    /// Returns the number in international form with only spaces between its groups (ITU-T E.123, 2.1), such as `+20 10 01234567`.
    #[must_use]
    pub fn with_spaces(&self) -> String {
        let Ok(number) = phonenumber::parse(None, &self.0) else {
            return self.0.clone();
        };
        let text = number.format().mode(Mode::International).to_string();
        let groups = text.split(|c: char| c != '+' && !c.is_ascii_digit());
        groups
            .filter(|group| !group.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl FromStr for PhoneNumber {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::in_region(text, None)
    }
}

/// Returns whether a text consists of digits and separators, with an optional plus sign in front and an optional `tel:` before it
/// (RFC 3966). The crate ignores any other text around a number.
fn is_number(text: &str) -> bool {
    let text = text.trim();
    let number = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
        _ => text,
    };
    let number = number.trim_start_matches(['(', ' ']);
    let number = number.strip_prefix('+').unwrap_or(number);
    number
        .chars()
        .all(|c| c.is_ascii_digit() || " -./()".contains(c))
}

/// Converts digits of all scripts, full-width signs and brackets, dashes, blanks and Arabic separators to ASCII, which is all the
/// crate understands. Drops the invisible marks around a copied number.
fn in_ascii(text: &str) -> String {
    text.chars()
        .filter(|c| !decimal::is_invisible(*c))
        .map(|c| match c {
            '\u{ff0b}' | '\u{fe62}' => '+',
            '\u{ff08}' => '(',
            '\u{ff09}' => ')',
            // ARABIC COMMA, ARABIC DECIMAL SEPARATOR, ARABIC THOUSANDS SEPARATOR
            '\u{60c}' | '\u{66b}' | '\u{66c}' => ' ',
            c if decimal::is_dash(c) => '-',
            c if c.is_whitespace() => ' ',
            c => decimal::value(c)
                .and_then(|value| char::from_digit(value, 10))
                .unwrap_or(c),
        })
        .collect()
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hides the number, which is personal data.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_with_spaces_has_groups_and_stays_the_same_number() {
        for (number, spaced) in [
            ("+201001234567", "+20 10 01234567"),
            ("+12015550123", "+1 201 555 0123"),
            ("+447400123456", "+44 7400 123456"),
        ] {
            let number: PhoneNumber = number.parse().unwrap();
            assert_eq!(number.with_spaces(), spaced);
            assert_eq!(spaced.parse::<PhoneNumber>().unwrap(), number);
        }
    }

    #[test]
    fn every_written_form_becomes_e164() {
        for form in [
            "+201001234567",
            "+20 100 123 4567",
            "+20-100-123-4567",
            "+20.100.123/4567",
            "(+20) (100) 1234567",
            " +201001234567 ",
            "tel:+20-100-123-4567",
        ] {
            assert_eq!(
                form.parse::<PhoneNumber>().unwrap().as_str(),
                "+201001234567"
            );
        }
    }

    #[test]
    fn local_number_is_valid_in_its_region_only() {
        let region: Region = "EG".parse().unwrap();
        let local = PhoneNumber::in_region("0100 123 4567", Some(region));
        assert_eq!(local.unwrap().as_str(), "+201001234567");
        let other = PhoneNumber::in_region("+1 201 555 0123", Some(region));
        assert_eq!(other.unwrap().as_str(), "+12015550123");
        assert!(PhoneNumber::in_region("0100 123 4567", None).is_err());
        assert!("Egypt".parse::<Region>().is_err());
    }

    #[test]
    fn number_in_every_script_becomes_e164() {
        for form in [
            "+\u{662}\u{660}\u{661}\u{660}\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}",
            "+\u{6f2}\u{6f0}\u{6f1}\u{6f0}\u{6f0}\u{6f1}\u{6f2}\u{6f3}\u{6f4}\u{6f5}\u{6f6}\u{6f7}",
            "\u{ff0b}\u{ff12}\u{ff10}\u{ff11}\u{ff10}\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\u{ff16}\u{ff17}",
            "\u{202a}+20\u{a0}100\u{202f}123\u{2011}4567\u{202c}",
            "\u{200e}+20\u{66c}100\u{3000}123\u{2212}4567\u{200f}",
            "\u{ff0b}20\u{ff08}100\u{ff09}123\u{ff0d}4567",
        ] {
            let number = form.parse::<PhoneNumber>().map(|number| number.to_string());
            assert_eq!(number.as_deref(), Ok("+201001234567"), "{form}");
        }
        assert_eq!(
            "+\u{661}"
                .repeat(1_000_000)
                .parse::<PhoneNumber>()
                .unwrap_err()
                .code,
            "too_long"
        );
    }

    #[test]
    fn unassigned_number_of_a_row_stays_readable() {
        assert!("+99912345".parse::<PhoneNumber>().is_err());
        assert_eq!(
            PhoneNumber::stored("+99912345").unwrap().as_str(),
            "+99912345"
        );
        for bad in ["", "+", "99912345", "+1234567890123456", "+20 100", "+20a"] {
            assert!(PhoneNumber::stored(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn unassigned_number_is_refused() {
        for bad in [
            "",
            "not a phone",
            "12345",
            "01001234567",
            "+99912345",
            "+20100123456789012345",
            "+201001234567\u{0}\u{1}",
            "\u{7}+201001234567",
            "+20\t1001234567\n",
            "+20\u{85}1001234567",
            "abc+201001234567",
            "call +201001234567",
            "+201001234567abc",
            "+20100 123 WORD",
            "+201001234567;ext=1",
            "tel:tel:+201001234567",
            "https:+201001234567",
            "++201001234567",
            "+20+1001234567",
            "+20100\u{1f4de}1234567",
            "<+201001234567>",
            "+20*1001234567#",
            "+20,1001234567",
        ] {
            assert!(bad.parse::<PhoneNumber>().is_err(), "{bad:?} was taken");
        }
    }
}
