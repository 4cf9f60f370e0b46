//! Enhanced status codes in replies.

use std::{fmt, str::FromStr};

/// An enhanced status code (RFC 3463, section 2), such as 5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EnhancedCode {
    class: u16,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// Returns whether the code is about the recipient's address (x.1.x) or mailbox (x.2.x). x.1.7 and x.1.8 are about the
    /// sender's address (RFC 3463, 3.2).
    pub(super) fn is_about_recipient(self) -> bool {
        matches!(self.subject, 1 | 2) && !matches!((self.subject, self.detail), (1, 7 | 8))
    }

    /// Returns whether the code can fail a mail: the address does not exist, is malformed or moved, or its domain takes no mail
    /// (x.1.1 to x.1.3, x.1.6; RFC 3463, 3.2; x.1.10; RFC 7505), or the mailbox is disabled (x.2.1; RFC 3463, 3.3).
    pub(super) fn is_permanent(self) -> bool {
        matches!(
            (self.class, self.subject, self.detail),
            (5, 1, 1..=3 | 6 | 10) | (5, 2, 1)
        )
    }

    /// Returns whether the mailbox is disabled (x.2.1; RFC 3463, 3.3). Servers also use the code for mailboxes that receive too
    /// many mails and for blocked clients.
    pub(super) fn is_mailbox_disabled(self) -> bool {
        (self.subject, self.detail) == (2, 1)
    }

    /// Returns whether the code is about the route to the recipient's domain (x.4.x; RFC 3463, 3.5), or about an address that needs
    /// SMTPUTF8 (x.6.7; RFC 6531, 4.4). It may also be about this server, so it does not fail a mail.
    pub(super) fn is_about_domain(self) -> bool {
        matches!((self.subject, self.detail), (4, _) | (6, 7))
    }
}

impl FromStr for EnhancedCode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |part: &str| {
            let is_number = (1..=3).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'));
            if is_number {
                part.parse().map_err(|_| ())
            } else {
                Err(())
            }
        };
        let parts: Vec<_> = text.split('.').collect();
        let [class @ ("2" | "4" | "5"), subject, detail] = parts[..] else {
            return Err(());
        };
        Ok(Self {
            class: number(class)?,
            subject: number(subject)?,
            detail: number(detail)?,
        })
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_enhanced_codes_are_rejected() {
        assert!("5.1.1".parse::<EnhancedCode>().is_ok());
        assert!("4.7.999".parse::<EnhancedCode>().is_ok());
        for bad in [
            "", "5", "5.1", "5.1.", "5.1.1.1", "3.1.1", "5.1.1000", "5.01.1", "5.1.x", "55.1.1",
            "5.1.1:", "+5.1.1",
        ] {
            assert!(bad.parse::<EnhancedCode>().is_err(), "{bad}");
        }
    }
}
