//! Emails and their keys.
//!
//! An email is stored as the user entered it, composed (NFC). Its [`EmailKey`] identifies the account, and is the same for all
//! spellings of a mailbox. Different mailboxes have different keys: only the two cases of a letter are merged.

mod domain;
mod mailbox;

use std::{fmt, str::FromStr};

use email_address::EmailAddress;
use sea_orm::DeriveValueType;

use crate::types::{
    lookalike::{check, compose, fold_case},
    validation_error::{Invalid, no_control_characters},
};

/// The maximum length of an email in SMTP (RFC 5321, 4.5.3.1.3, without the angle brackets), in bytes.
const MAX_BYTES: usize = 254;
/// The maximum length of a text that is parsed, in bytes. Composition makes it shorter.
const MAX_TYPED_BYTES: usize = 4 * MAX_BYTES;
/// The maximum length of a local part (RFC 5321, 4.5.3.1.1), in bytes.
const MAX_LOCAL_BYTES: usize = 64;

/// An email: an addr-spec of RFC 5322 with a valid domain, composed (NFC) and otherwise as the user entered it.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String", from_str = "Email::stored")]
pub struct Email(String);

impl Email {
    /// Reads an email from a row. It was checked when it was stored, and stays readable when Unicode's tables change.
    fn stored(text: &str) -> Result<Self, Invalid> {
        no_control_characters(text)?;
        if text.len() > MAX_BYTES || !text.contains('@') {
            return Err(invalid());
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the key that identifies the account.
    #[must_use]
    pub fn key(&self) -> EmailKey {
        let (local, domain) = self.parts();
        EmailKey(format!("{}@{}", fold_case(local), domain_key(domain)))
    }

    /// Returns the email as the user entered it, composed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    /// Returns the domain as the user entered it, composed.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.parts().1
    }

    /// Returns the domain in the form of DNS and SMTP: A-labels in lower case (RFC 5890, 2.3.2.1).
    #[must_use]
    pub fn ascii_domain(&self) -> String {
        domain_key(self.domain())
    }

    /// Returns the email with [`Email::ascii_domain`]. It can be delivered without SMTPUTF8 (RFC 6531) if its local part is ASCII.
    #[must_use]
    pub fn to_ascii_domain(&self) -> String {
        format!("{}@{}", self.local_part(), self.ascii_domain())
    }

    /// Returns the email with its domain in the form that people read: U-labels in lower case (RFC 5890, 2.3.2.1).
    #[must_use]
    pub fn to_unicode_domain(&self) -> String {
        format!(
            "{}@{}",
            self.local_part(),
            domain::to_unicode(self.domain())
        )
    }

    fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').unwrap_or_default()
    }
}

/// Returns the domain of a key. Rows contain no domain that cannot be converted; for such a one it returns the lower case.
fn domain_key(domain: &str) -> String {
    domain::to_ascii(domain).unwrap_or_else(|| fold_case(domain))
}

impl FromStr for Email {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let too_long = || Invalid::new("too_long", "At most 254 characters.");
        if text.len() > MAX_TYPED_BYTES {
            return Err(too_long());
        }
        no_control_characters(text)?;
        let composed = compose(text)?;
        if composed.len() > MAX_BYTES {
            return Err(too_long());
        }
        let (local, domain) = composed.rsplit_once('@').ok_or_else(invalid)?;
        let local = unquote(local);
        let labels = domain::labels(domain)?;
        // Upper-case letters may look like letters of another script. ASCII labels stay as typed.
        let typed = domain.split('.').zip(&labels);
        let domain: Vec<_> = typed
            .map(|(typed, label)| if typed.is_ascii() { typed } else { label })
            .collect();
        let domain = domain.join(".");
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        // The key has to be a valid email, too, and lower-case letters may have other look-alikes.
        for local in [&*local, &*fold_case(&local)] {
            if !has_grammar_of_local_part(local) || local.len() > MAX_LOCAL_BYTES {
                return Err(invalid());
            }
            check(local, &labels)?;
        }
        let email = Self(format!("{local}@{domain}"));
        if email.0.len() > MAX_BYTES || email.key().0.len() > MAX_BYTES {
            return Err(too_long());
        }
        Ok(email)
    }
}

/// Returns the spelling in [`EmailKey`]s of a part of an email: a local part with an `@` and a domain, or labels of a domain. `None`
/// if it is the lower case of the text. A-labels have no common prefix with those of longer labels (RFC 3492), so an incomplete
/// label with letters other than ASCII finds nothing.
#[must_use]
pub fn search_key(text: &str) -> Option<String> {
    if text.len() > MAX_TYPED_BYTES {
        return None;
    }
    let text = compose(text).ok()?;
    let (local, domain) = match text.rsplit_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, &*text),
    };
    let labels: Vec<_> = domain.split('.').map(domain_key).collect();
    let domain = labels.join(".");
    let key = match local {
        Some(local) => format!("{}@{domain}", fold_case(local)),
        None => domain,
    };
    (key != text.to_lowercase()).then_some(key)
}

/// Returns whether a text is a dot-atom or a quoted string (RFC 5321, 4.1.2). Ignores letters other than ASCII, which [`check`]
/// verifies: the crate accepts fewer than SMTPUTF8 allows.
fn has_grammar_of_local_part(text: &str) -> bool {
    EmailAddress::is_valid_local_part(&text.replace(|c: char| !c.is_ascii(), "a"))
}

/// Removes redundant quotation marks and backslashes from a local part (RFC 5321, 4.1.2): `"ada"@example.com` is
/// `ada@example.com`, and `"\a b"` is `"a b"`.
fn unquote(local: &str) -> String {
    let quoted = local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(quoted) = quoted.filter(|_| has_grammar_of_local_part(local)) else {
        return local.to_owned();
    };
    let mut chars = quoted.chars();
    let mut content = String::new();
    while let Some(c) = chars.next() {
        content.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    if !content.starts_with('"') && has_grammar_of_local_part(&content) {
        return content;
    }
    format!("\"{}\"", content.replace('\\', "\\\\").replace('"', "\\\""))
}

fn invalid() -> Invalid {
    Invalid::new("invalid", "Not a valid email.")
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows only the domain, so that logs contain no personal data.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email(…@{})", self.domain())
    }
}

/// The unique key of an account: an email with its local part in lower case and its domain as A-labels. It is a valid [`Email`],
/// whose key is itself.
///
/// Not computed by the database, because SQLite's `lower()` changes ASCII letters only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct EmailKey(String);

impl EmailKey {
    /// Returns the key as text.
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
mod tests;
