//! Decides from a failed SMTP conversation whether its mail fails or is deferred.
//!
//! Only a refusal of the recipient's address or mailbox fails a mail. Any other failure may be a fault of this installation or
//! of the server, and defers the mail.

use std::{
    error::Error as _,
    fmt::{self, Write as _},
    io,
    time::Duration,
};

use latchkey_shared::models::mail::delivery_health::{DeliveryFailure, FailureCause};
use lettre::transport::smtp;

use crate::transport::smtp::{
    enhanced_code::EnhancedCode,
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
        if let Reply::Code(code, _) = self.reply {
            self.is_final = refuses_recipient(code, &self.text, recipient);
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

    /// Returns the cause. From `RCPT TO` on, a server may reply 421, close the connection or stay silent because of the recipient's
    /// domain, for example when a relay greylists or asks a slow server. So these count like any other reply there, and so does a
    /// reply that lettre cannot parse: a relay may repeat the text of the recipient's server.
    fn cause(&self) -> FailureCause {
        match (self.stage, self.reply) {
            (
                Stage::Authentication | Stage::Sender,
                Reply::Disconnected | Reply::Code(CLOSING, _),
            )
            | (Stage::Connection, _) => FailureCause::Connection,
            (Stage::Authentication, _) => FailureCause::Authentication,
            (Stage::Sender, _) => FailureCause::Sender,
            (Stage::Recipient, _) if self.is_about_recipient() => FailureCause::Recipient,
            (Stage::Recipient | Stage::Data | Stage::Body, _) => FailureCause::Refusal,
        }
    }

    /// Servers also refuse relaying by 5.1.1 or 5.1.2, and a busy mailbox by 5.2.1. So a code that can fail a mail counts only if it
    /// does.
    fn is_about_recipient(&self) -> bool {
        let is_about_recipient = |code: EnhancedCode| {
            !code.is_permanent() && (code.is_about_recipient() || code.is_about_domain())
        };
        self.is_final
            || self.reply == Reply::NotAsked
            || self.reply.enhanced().is_some_and(is_about_recipient)
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

/// Returns whether a reply to `RCPT TO` permanently refuses the recipient: it is 5xx with an enhanced status code at the start of the
/// text (RFC 2034, section 4) or one of [`MAILBOX_REFUSED`], and its text says so. A code anywhere in the text with another reason,
/// even a malformed one, defers the mail.
fn refuses_recipient(code: u16, text: &str, recipient: &str) -> bool {
    let enhanced = first_word(text).parse::<EnhancedCode>().ok();
    let may_be_final = match enhanced {
        Some(_) => code / 100 == 5,
        None => MAILBOX_REFUSED.contains(&code),
    };
    may_be_final
        && named_codes(text).iter().all(|code| is_final(code))
        && wording::refuses_mailbox(text, recipient, enhanced)
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
mod tests;
