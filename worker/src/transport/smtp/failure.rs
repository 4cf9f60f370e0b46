//! What a failed SMTP conversation means for its mail.
//!
//! Only a refusal of the recipient's address or mailbox ends a mail. Every other failure may be a fault of this
//! installation or of the server, and defers the mail.

use std::{
    error::Error as _,
    fmt::{self, Write as _},
    str::FromStr,
};

use latchkey_shared::models::mail::delivery_health::{DeliveryFailure, FailureCause};
use lettre::transport::smtp;

use crate::transport::smtp::wording;

/// The reply with which a server closes the connection (RFC 5321, 3.8).
const CLOSING: u16 = 421;
/// Replies that refuse a mailbox, where neither an enhanced status code nor their words say otherwise (RFC 5321, 4.2.3).
const MAILBOX_REFUSED: [u16; 3] = [550, 551, 553];

/// Where in a conversation something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Connection, greeting, `EHLO`, TLS.
    Connection,
    /// `AUTH`
    Authentication,
    /// `MAIL FROM`
    Sender,
    /// `RCPT TO`
    Recipient,
    /// `DATA`
    Data,
    /// The text of the mail and its end.
    Body,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Authentication => "AUTH",
            Self::Sender => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Data => "DATA",
            Self::Body => "message",
        }
    }
}

/// A conversation that did not deliver its mail.
#[derive(Debug)]
pub(super) struct SmtpFailure {
    stage: Stage,
    /// The reply code; none where the server did not reply.
    code: Option<u16>,
    /// The enhanced status code that begins the reply.
    enhanced: Option<EnhancedCode>,
    /// Whether the connection has ended.
    disconnected: bool,
    /// Whether the server will never accept a mail for this recipient.
    pub(super) is_final: bool,
    /// The stage and the server's words. They may name the recipient or a credential.
    pub(super) words: String,
}

impl SmtpFailure {
    /// A failure at a stage, as lettre reports it.
    pub(super) fn at(stage: Stage) -> impl FnOnce(smtp::Error) -> Self {
        move |error| {
            let code = error.status().map(u16::from);
            let text = error.source().map_or_else(String::new, ToString::to_string);
            let mut words = format!("{}: ", stage.as_str());
            let _ = if error.is_response() && code.is_none() && text == "incomplete response" {
                write!(words, "the server closed the connection")
            } else {
                write!(words, "{error}")
            };
            Self {
                stage,
                code,
                enhanced: first_word(&text).parse().ok(),
                disconnected: code.is_none_or(|code| code == CLOSING),
                is_final: stage == Stage::Recipient
                    && code.is_some_and(|code| refuses_recipient(code, &text)),
                words,
            }
        }
    }

    /// A failure that was found before the server was asked; the connection is as it was.
    pub(super) fn before(stage: Stage, words: &str) -> Self {
        Self {
            stage,
            code: None,
            enhanced: None,
            disconnected: false,
            is_final: false,
            words: format!("{}: {words}", stage.as_str()),
        }
    }

    /// Whether a failure on a reused connection says nothing about the mail, and a new connection may try it at once.
    ///
    /// Servers limit the mails of a connection by a reply at `MAIL FROM` or by ending the connection. Once the text of
    /// the mail is on its way the server may have accepted it, and a second attempt might deliver it twice.
    pub(super) fn allows_new_connection(&self) -> bool {
        match self.stage {
            Stage::Connection | Stage::Authentication | Stage::Body => false,
            Stage::Sender => true,
            Stage::Recipient | Stage::Data => self.disconnected,
        }
    }

    /// What made the attempt fail. Replies are of the same kind when stage and codes are.
    pub(super) fn kind(&self) -> DeliveryFailure {
        let cause = self.cause();
        if self.was_not_asked() {
            let reply = String::new();
            return DeliveryFailure { cause, reply };
        }
        let mut reply = self.stage.as_str().to_owned();
        if let Some(code) = self.code {
            let _ = write!(reply, " {code}");
        }
        if let Some(enhanced) = self.enhanced {
            let _ = write!(reply, " {enhanced}");
        }
        DeliveryFailure { cause, reply }
    }

    /// Whether the worker found the failure by itself ([`Self::before`]).
    fn was_not_asked(&self) -> bool {
        self.code.is_none() && !self.disconnected
    }

    /// From `RCPT TO` on, a server may say 421 because of the recipient's domain, as it does for a relay's greylisting; so it is
    /// like any other reply there.
    fn cause(&self) -> FailureCause {
        if self.disconnected && (self.code.is_none() || self.stage <= Stage::Sender) {
            return FailureCause::Connection;
        }
        match self.stage {
            Stage::Connection => FailureCause::Connection,
            Stage::Authentication => FailureCause::Authentication,
            Stage::Sender => FailureCause::Sender,
            Stage::Recipient if self.is_about_recipient() => FailureCause::Recipient,
            Stage::Recipient | Stage::Data | Stage::Body => FailureCause::Refusal,
        }
    }

    fn is_about_recipient(&self) -> bool {
        self.is_final
            || self.was_not_asked()
            || self
                .enhanced
                .is_some_and(|code| code.is_about_recipient() || code.is_about_domain())
    }

    /// The reply code, for a trace.
    pub(super) fn code(&self) -> String {
        self.code
            .map_or_else(|| "connection".to_owned(), |code| code.to_string())
    }
}

/// An enhanced status code (RFC 3463, section 2), such as 5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EnhancedCode {
    class: u16,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// Whether it is about the recipient's address (x.1.x) or mailbox (x.2.x). Two codes of x.1.x are about the sender's
    /// address (RFC 3463, 3.2).
    fn is_about_recipient(self) -> bool {
        matches!(self.subject, 1 | 2) && !matches!((self.subject, self.detail), (1, 7 | 8))
    }

    /// Whether it is about the way to the recipient's domain: routing (x.4.x; RFC 3463, 3.5), or an address that needs SMTPUTF8
    /// (x.6.7; RFC 6531, 4.4). It may also be about this server, so it never ends a mail.
    fn is_about_domain(self) -> bool {
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

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Whether a reply to `RCPT TO` refuses the recipient for good. An enhanced status code that begins the text
/// (RFC 2034, section 4) decides, if it has the class of the reply. A code anywhere in the text that names another reason,
/// even a malformed one, defers the mail. Without a code that decides, so do words that may be about the client.
fn refuses_recipient(code: u16, text: &str) -> bool {
    let has_code = first_word(text).parse::<EnhancedCode>().is_ok();
    let may_be_final = if has_code {
        code / 100 == 5
    } else {
        MAILBOX_REFUSED.contains(&code) && !wording::is_about_client(text)
    };
    may_be_final && named_codes(text).iter().all(|code| is_final(code))
}

fn is_final(code: &str) -> bool {
    code.parse::<EnhancedCode>()
        .is_ok_and(|enhanced| enhanced.class == 5 && enhanced.is_about_recipient())
}

/// Everything in a text that looks like an enhanced status code: three numbers with dots between them, of which the first is
/// 2, 4 or 5, blanks left out.
fn named_codes(text: &str) -> Vec<String> {
    let mut joined = String::new();
    for word in text.split_whitespace() {
        let continues = joined.ends_with('.') && word.starts_with(|c: char| c.is_ascii_digit())
            || word.starts_with('.') && joined.ends_with(|c: char| c.is_ascii_digit());
        if !continues {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|run| run.trim_matches('.'))
        .filter(|run| {
            let parts: Vec<_> = run.split('.').collect();
            parts.len() == 3 && matches!(parts[0], "2" | "4" | "5")
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_parsed_strictly() {
        assert!("5.1.1".parse::<EnhancedCode>().is_ok());
        assert!("4.7.999".parse::<EnhancedCode>().is_ok());
        for bad in [
            "", "5", "5.1", "5.1.", "5.1.1.1", "3.1.1", "5.1.1000", "5.01.1", "5.1.x", "55.1.1",
            "5.1.1:", "+5.1.1",
        ] {
            assert!(bad.parse::<EnhancedCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn cause_of_a_reply_to_the_recipient_follows_its_code() {
        let cause = |code, text: &str| {
            let failure = SmtpFailure {
                stage: Stage::Recipient,
                code,
                enhanced: text.parse().ok(),
                disconnected: code.is_none_or(|code| code == CLOSING),
                is_final: false,
                words: String::new(),
            };
            failure.kind().to_string()
        };
        assert_eq!(cause(Some(550), "5.4.4"), "recipient RCPT TO 550 5.4.4");
        assert_eq!(cause(Some(553), "5.6.7"), "recipient RCPT TO 553 5.6.7");
        assert_eq!(cause(Some(450), "4.7.1"), "refusal RCPT TO 450 4.7.1");
        assert_eq!(cause(Some(421), "4.7.0"), "refusal RCPT TO 421 4.7.0");
        assert_eq!(cause(None, ""), "connection RCPT TO");
        let local = SmtpFailure::before(Stage::Recipient, "words");
        assert_eq!(local.kind().to_string(), "recipient ");
    }

    #[test]
    fn refusal_of_the_recipient_is_told_from_every_other() {
        for (code, text, expected) in [
            (550, "", true),
            (550, "5.1.1 unknown", true),
            (552, "5.2.2 full", true),
            (550, "unknown (version 2.1)", true),
            (550, "unknown [5.1.1]", true),
            (550, "5.7.1: denied", false),
            (550, "#5.7.1 denied", false),
            (550, "5.1.8 sender", false),
            (550, "4.1.1 unknown", false),
            (550, "5.1.1 unknown 5.7.1 blocked by policy", false),
            (550, "5.7.1/5.1.1 denied", false),
            (550, "5. 7. 1 denied", false),
            (550, "5 .7 .1 denied", false),
            (550, "5.01.1 unknown", false),
            (550, "unknown at 192.0.2.1", true),
            (552, "full", false),
            (554, "5.1.1 unknown", true),
            (554, "unknown", false),
            (450, "5.1.1 unknown", false),
            (450, "4.1.1 unknown", false),
            (571, "denied", false),
        ] {
            assert_eq!(refuses_recipient(code, text), expected, "{code} {text}");
        }
    }
}
