//! Decides from a failed SMTP conversation whether its mail fails or is deferred.
//!
//! Only a refusal of the recipient's address or mailbox fails a mail. Any other failure may be a fault of this installation or
//! of the server, and defers the mail.

use std::{
    error::Error as _,
    fmt::{self, Write as _},
    io,
    str::FromStr,
    time::Duration,
};

use latchkey_shared::models::mail::delivery_health::{DeliveryFailure, FailureCause};
use lettre::transport::smtp;

use crate::transport::smtp::{
    replies::{ReplyState, TOO_MANY_LINES, UNSOLICITED},
    stream::TOO_MUCH,
    wording,
};

/// lettre's error when the connection is closed before the end of a reply.
const CLOSED: &str = "incomplete response";
/// The error of a reply that is not UTF-8 (`futures_util::io::AsyncBufReadExt::read_line`).
const NOT_UTF8: &str = "stream did not contain valid UTF-8";
/// The reply code of a server that closes the connection (RFC 5321, 3.8).
const CLOSING: u16 = 421;
/// Reply codes that may refuse a mailbox (RFC 5321, 4.2.3). They also refuse clients, so the text decides.
const MAILBOX_REFUSED: [u16; 3] = [550, 551, 553];

/// The stage of a conversation.
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

/// The server's reply to a failed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// A reply code, and the enhanced status code at the start of the text, if any.
    Code(u16, Option<EnhancedCode>),
    /// A reply that lettre cannot parse: it violates RFC 5321, 4.2, is not UTF-8 or has no end. lettre does not report its code.
    Unreadable,
    /// No reply: the connection failed or was closed.
    Disconnected,
    /// No reply: the worker detected the failure before it sent a command, or cannot answer a challenge of `AUTH`.
    NotAsked,
}

impl Reply {
    fn of(error: &smtp::Error, text: &str) -> Self {
        if let Some(code) = error.status() {
            Self::Code(code.into(), first_word(text).parse().ok())
        } else if error.is_client() {
            Self::NotAsked
        } else if is_unreadable(error, text) {
            Self::Unreadable
        } else {
            Self::Disconnected
        }
    }

    fn enhanced(self) -> Option<EnhancedCode> {
        match self {
            Self::Code(_, enhanced) => enhanced,
            Self::Unreadable | Self::Disconnected | Self::NotAsked => None,
        }
    }
}

/// A failed conversation.
#[derive(Clone, Debug)]
pub(super) struct SmtpFailure {
    stage: Stage,
    reply: Reply,
    /// Whether the server will never accept a mail for this recipient.
    pub(super) is_final: bool,
    /// Whether the text gives a reason other than its enhanced status code, which is one that can fail a mail. Servers also refuse
    /// relaying by 5.1.1 or 5.1.2, and a busy mailbox by 5.2.1.
    names_other_reason: bool,
    /// The stage and the kind of the failure, in Latchkey's words. Redacted, they would reveal a short password.
    pub(super) description: String,
    /// The text of the server's reply, not redacted yet.
    pub(super) text: String,
}

impl SmtpFailure {
    fn new(stage: Stage, reply: Reply, description: impl fmt::Display) -> Self {
        Self {
            stage,
            reply,
            is_final: false,
            names_other_reason: false,
            description: format!("{}: {description}", stage.as_str()),
            text: String::new(),
        }
    }

    /// Returns a function that converts an error of lettre at a stage.
    pub(super) fn at(stage: Stage) -> impl FnOnce(smtp::Error) -> Self {
        move |error| {
            let text = error.source().map_or_else(String::new, ToString::to_string);
            let reply = Reply::of(&error, &text);
            let error = error.to_string();
            let (description, server_text) = match reply {
                Reply::Unreadable => ("reply not understood: ", text.as_str()),
                _ if text == CLOSED => ("the server closed the connection", ""),
                _ => error
                    .strip_suffix(&text)
                    .map_or(("", error.as_str()), |kind| (kind, &text)),
            };
            Self {
                text: server_text.to_owned(),
                ..Self::new(stage, reply, description)
            }
        }
    }

    /// Decides whether a refusal at `RCPT TO` is final for this recipient, given as in the envelope.
    pub(super) fn for_recipient(mut self, recipient: &str) -> Self {
        if let Reply::Code(code, enhanced) = self.reply {
            self.names_other_reason = enhanced.is_some_and(EnhancedCode::is_permanent)
                && wording::names_other_reason(&self.text, recipient);
            self.is_final =
                !self.names_other_reason && refuses_recipient(code, &self.text, recipient);
        }
        self
    }

    /// Takes the state of the replies into account. A reply that was incomplete when the connection ended or timed out may refuse the
    /// recipient.
    pub(super) fn after(mut self, replies: &ReplyState) -> Self {
        let is_open = self.reply == Reply::Disconnected && replies.has_begun();
        if is_open && self.stage >= Stage::Recipient {
            self.reply = Reply::Unreadable;
        }
        self
    }

    /// Creates the failure of a server that did not answer in time.
    pub(super) fn timed_out(stage: Stage, limit: Duration) -> Self {
        let description = format!("the server did not answer within {} s", limit.as_secs());
        Self::new(stage, Reply::Disconnected, description)
    }

    /// Creates the failure of a connection that was not established.
    pub(super) fn to_connect(error: &io::Error) -> Self {
        Self::new(Stage::Connection, Reply::Disconnected, error)
    }

    /// Creates the failure of a reply that is positive, but not the `expected` one.
    pub(super) fn unexpected(
        stage: Stage,
        expected: &str,
        reply: &smtp::response::Response,
    ) -> Self {
        let description = format!("expected the reply {expected}, not {}", reply.code());
        Self::new(stage, Reply::Unreadable, description)
    }

    /// Creates a failure that the worker detected without asking the server. The connection stays usable.
    pub(super) fn before(stage: Stage, description: &str) -> Self {
        Self::new(stage, Reply::NotAsked, description)
    }

    /// Returns whether the mail may be sent again on a new connection at once, after a failure on a reused connection.
    ///
    /// Servers limit the mails per connection by a reply at `MAIL FROM` or by closing the connection. After the text of the mail
    /// was sent, the server may have accepted it, and a second attempt might deliver it twice. Some reply at `RCPT TO` or `DATA`:
    /// 452 for too many mails, or 503 for a second one.
    pub(super) fn allows_new_connection(&self) -> bool {
        match self.stage {
            Stage::Connection | Stage::Authentication | Stage::Body => false,
            Stage::Sender => true,
            Stage::Recipient | Stage::Data => {
                matches!(
                    self.reply,
                    Reply::Disconnected | Reply::Code(CLOSING | 452 | 503, _)
                )
            }
        }
    }

    /// Returns whether the server may have refused a new connection because of the number of open ones. Servers do so in the
    /// greeting, in the reply to `AUTH`, or by closing the connection before the greeting.
    pub(super) fn may_be_connection_limit(&self) -> bool {
        match (self.stage, self.reply) {
            (Stage::Connection, Reply::Disconnected) => true,
            (Stage::Connection | Stage::Authentication, Reply::Code(code, _)) => code < 500,
            _ => false,
        }
    }

    /// Returns the cause of the failure, and its stage and codes to compare it with others.
    pub(super) fn kind(&self) -> DeliveryFailure {
        let mut reply = self.stage.as_str().to_owned();
        match self.reply {
            Reply::Code(code, enhanced) => {
                let _ = write!(reply, " {code}");
                if let Some(enhanced) = enhanced {
                    let _ = write!(reply, " {enhanced}");
                }
            }
            Reply::Unreadable => reply.push_str(" unreadable"),
            Reply::Disconnected => {}
            Reply::NotAsked => reply.clear(),
        }
        let cause = self.cause();
        DeliveryFailure { cause, reply }
    }

    /// Returns the cause. From `RCPT TO` on, a server may reply 421 because of the recipient's domain, for example when a relay
    /// greylists. So 421 counts like any other reply there, and so does a reply that lettre cannot parse: a relay may repeat the
    /// text of the recipient's server.
    fn cause(&self) -> FailureCause {
        match (self.stage, self.reply) {
            (_, Reply::Disconnected)
            | (Stage::Authentication | Stage::Sender, Reply::Code(CLOSING, _))
            | (Stage::Connection, _) => FailureCause::Connection,
            (Stage::Authentication, _) => FailureCause::Authentication,
            (Stage::Sender, _) => FailureCause::Sender,
            (Stage::Recipient, _) if self.is_about_recipient() => FailureCause::Recipient,
            (Stage::Recipient | Stage::Data | Stage::Body, _) => FailureCause::Refusal,
        }
    }

    fn is_about_recipient(&self) -> bool {
        self.is_final
            || self.reply == Reply::NotAsked
            || self
                .reply
                .enhanced()
                .is_some_and(|code| code.is_about_recipient() || code.is_about_domain())
                && !self.names_other_reason
    }

    /// Returns the reply code for a trace.
    pub(super) fn code(&self) -> String {
        match self.reply {
            Reply::Code(code, _) => code.to_string(),
            Reply::Unreadable => "unreadable".to_owned(),
            Reply::Disconnected | Reply::NotAsked => "connection".to_owned(),
        }
    }
}

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
    fn is_about_recipient(self) -> bool {
        matches!(self.subject, 1 | 2) && !matches!((self.subject, self.detail), (1, 7 | 8))
    }

    /// Returns whether the recipient's address or mailbox will never accept a mail: the address does not exist, is malformed,
    /// ambiguous or moved, or its domain takes no mail (x.1.1 to x.1.4, x.1.6; RFC 3463, 3.2; x.1.10; RFC 7505), the mailbox is
    /// disabled or does not take mails of this length (x.2.1, x.2.3; RFC 3463, 3.3). A full mailbox (x.2.2) and the expansion of
    /// a list (x.2.4) may recover, and x.1.0 and x.2.0 name no reason.
    fn is_permanent(self) -> bool {
        matches!(
            (self.class, self.subject, self.detail),
            (5, 1, 1..=4 | 6 | 10) | (5, 2, 1 | 3)
        )
    }

    /// Returns whether the mailbox is disabled (x.2.1; RFC 3463, 3.3). Servers also use the code for mailboxes that receive too
    /// many mails and for blocked clients, so the text has to say so.
    fn is_mailbox_disabled(self) -> bool {
        (self.subject, self.detail) == (2, 1)
    }

    /// Returns whether the code is about the route to the recipient's domain (x.4.x; RFC 3463, 3.5), or about an address that needs
    /// SMTPUTF8 (x.6.7; RFC 6531, 4.4). It may also be about this server, so it does not fail a mail.
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

/// Returns whether the server sent a reply that lettre cannot parse. `text` is the source of the error.
fn is_unreadable(error: &smtp::Error, text: &str) -> bool {
    if error.is_response() {
        return text != CLOSED;
    }
    let source = error.source().and_then(|source| source.downcast_ref());
    // rustls also uses this kind, for a broken connection.
    source.is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::InvalidData)
        && [NOT_UTF8, TOO_MUCH, TOO_MANY_LINES, UNSOLICITED].contains(&text)
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Returns whether a reply to `RCPT TO` permanently refuses the recipient, if its words give no other reason. An enhanced status code
/// at the start of the text (RFC 2034, section 4) decides if its class is that of the reply. A code anywhere in the text with another
/// reason, even a malformed one, defers the mail. Without a code, only a text that names a missing mailbox refuses the recipient.
fn refuses_recipient(code: u16, text: &str, recipient: &str) -> bool {
    let enhanced = first_word(text).parse::<EnhancedCode>().ok();
    let may_be_final = if let Some(enhanced) = enhanced {
        code / 100 == 5
            && (!enhanced.is_mailbox_disabled() || wording::names_disabled_mailbox(text))
    } else {
        MAILBOX_REFUSED.contains(&code) && wording::names_missing_mailbox(text, recipient)
    };
    may_be_final && named_codes(text).iter().all(|code| is_final(code))
}

fn is_final(code: &str) -> bool {
    code.parse::<EnhancedCode>()
        .is_ok_and(EnhancedCode::is_permanent)
}

/// Returns everything in a text that looks like an enhanced status code: three numbers with dots between them, spaces ignored,
/// of which the first is 2, 4 or 5.
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

    /// R3: silence after half a reply is about the recipient, silence alone about the server.
    #[test]
    fn timeout_within_reply_is_not_connection_failure() {
        let (silent, begun) = (ReplyState::default(), ReplyState::begun());
        let cause = |stage, replies| {
            let limit = Duration::from_secs(3);
            SmtpFailure::timed_out(stage, limit).after(replies).cause()
        };
        assert_eq!(cause(Stage::Recipient, &begun), FailureCause::Refusal);
        assert_eq!(cause(Stage::Recipient, &silent), FailureCause::Connection);
        assert_eq!(cause(Stage::Sender, &begun), FailureCause::Connection);
    }

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

    #[test]
    fn cause_follows_reply_code_of_recipient() {
        let cause = |reply| {
            let failure = SmtpFailure::new(Stage::Recipient, reply, "");
            failure.kind().to_string()
        };
        for (code, enhanced, expected) in [
            (550, "5.4.4", "recipient RCPT TO 550 5.4.4"),
            (553, "5.6.7", "recipient RCPT TO 553 5.6.7"),
            (450, "4.7.1", "refusal RCPT TO 450 4.7.1"),
            (421, "4.7.0", "refusal RCPT TO 421 4.7.0"),
        ] {
            assert_eq!(cause(Reply::Code(code, enhanced.parse().ok())), expected);
        }
        assert_eq!(cause(Reply::Unreadable), "refusal RCPT TO unreadable");
        assert_eq!(cause(Reply::Disconnected), "connection RCPT TO");
        let local = SmtpFailure::before(Stage::Recipient, "message");
        assert_eq!(local.kind().to_string(), "recipient ");
    }

    #[test]
    fn only_recipient_refusals_are_final() {
        for (code, text, expected) in [
            (550, "", false),
            (550, "user unknown", true),
            (550, "5.1.1 unknown", true),
            (552, "5.2.2 full", false),
            (550, "user unknown 5.2.2", false),
            (550, "mailbox full", false),
            (550, "5.1.0 rejected", false),
            (550, "5.2.0 mailbox", false),
            (550, "5.2.4 mailing list", false),
            (550, "5.1.5 valid", false),
            (550, "5.1.7 sender", false),
            (550, "5.1.9 relayed", false),
            (550, "5.1.2 no such host", true),
            (501, "5.1.3 syntax", true),
            (553, "5.1.4 ambiguous", true),
            (551, "5.1.6 moved", true),
            (556, "5.1.10 null MX", true),
            (550, "5.2.1 disabled", true),
            (552, "5.2.3 too long", true),
            (550, "user unknown (table 2.1)", false),
            (550, "user unknown [5.1.1]", true),
            (550, "5.7.1: denied", false),
            (550, "#5.7.1 denied", false),
            (550, "5.1.8 sender", false),
            (550, "4.1.1 unknown", false),
            (550, "5.1.1 unknown 5.7.1 blocked by policy", false),
            (550, "5.7.1/5.1.1 denied", false),
            (550, "5. 7. 1 denied", false),
            (550, "5 .7 .1 denied", false),
            (550, "5.01.1 user unknown", false),
            (550, "user unknown (server 10.5.1.1a)", false),
            (552, "full", false),
            (554, "5.1.1 unknown", true),
            (554, "user unknown", false),
            (450, "5.1.1 unknown", false),
            (450, "4.1.1 unknown", false),
            (571, "denied", false),
        ] {
            assert_eq!(
                refuses_recipient(code, text, "ada@example.com"),
                expected,
                "{code} {text}"
            );
        }
    }
}
