//! E-mail addresses.

use std::{fmt, str::FromStr};

use email_address::{EmailAddress, Options};
use sea_orm::DeriveValueType;

use crate::invalid::{Invalid, no_control_characters};

/// The longest address that SMTP can carry (RFC 5321, 4.5.3.1.3, less the angle brackets).
const MAX_BYTES: usize = 254;

/// An address by RFC 5322's addr-spec with a dotted domain name, kept as it was typed.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct Email(String);

impl Email {
    /// The address with case folded away: what makes two addresses the same account.
    #[must_use]
    pub fn key(&self) -> EmailKey {
        EmailKey(self.0.to_lowercase())
    }

    /// The address as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }
}

impl FromStr for Email {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        no_control_characters(text)?;
        if text.len() > MAX_BYTES {
            return Err(Invalid::new("too_long", "At most 254 characters."));
        }
        let options = Options::default()
            .with_required_tld()
            .without_domain_literal()
            .without_display_text();
        EmailAddress::parse_with_options(text, options)
            .map_err(|_| Invalid::new("invalid", "Not a valid e-mail address."))?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows the domain alone, so that an address which strays into a log line names nobody.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "Email(…@{domain})")
    }
}

/// An address in lower case, the unique key of an account. The folding is Unicode's and done here, because SQLite's
/// `lower()` knows ASCII only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, DeriveValueType)]
pub struct EmailKey(String);

impl EmailKey {
    /// The address in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_a_dotted_domain_are_kept_as_typed() {
        for good in [
            "Ada@Example.com",
            "o'brien+tag@mail.example.co.uk",
            "\u{fc}ber@example.com",
        ] {
            assert_eq!(good.parse::<Email>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn what_no_mail_server_would_take_is_refused() {
        for bad in [
            "",
            "a",
            "a@",
            "@b.co",
            "a b@c.com",
            "a@b",
            "a@[127.0.0.1]",
            "Ada <a@b.co>",
            "a@b.co\r\nBcc: x@y.z",
            "a\0@b.co",
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad:?} was taken");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        assert_eq!(long.parse::<Email>().unwrap_err().code, "too_long");
    }

    #[test]
    fn the_key_ignores_case_and_debug_hides_the_person() {
        let typed: Email = "ADA@Example.com".parse().unwrap();
        let other: Email = "ada@example.COM".parse().unwrap();
        assert_eq!(typed.key(), other.key());
        assert_eq!(format!("{typed:?}"), "Email(…@Example.com)");
    }
}
