//! Sends one mail over one connection, from `MAIL FROM` to the reply to its text.

use std::{
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::{
    Address, Message,
    transport::smtp::{
        commands::{Data, Mail, Rcpt},
        extension::{Extension, MailBodyParameter, MailParameter},
        response::{Response, Severity},
    },
};

use crate::transport::smtp::{
    Connection,
    failure::{SmtpFailure, Stage},
    replies::ReplyState,
};

/// The reply to `DATA` (RFC 5321, 4.3.2).
const START_MAIL_INPUT: u16 = 354;

/// The step that a mail has reached, for the error of a timeout.
pub(super) struct Progress(Mutex<Step>);

enum Step {
    /// A stage of the conversation.
    Stage(Stage, ReplyState),
    /// The server refused a new connection with this failure. The mail waits for another connection.
    Waiting(SmtpFailure),
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Step::Stage(
            Stage::Connection,
            ReplyState::default(),
        )))
    }

    fn set(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// Records that a connection is about to be established.
    pub(super) fn connect(&self) {
        self.set(Step::Stage(Stage::Connection, ReplyState::default()));
    }

    /// Records that the mail waits because a new connection was refused.
    pub(super) fn wait_after(&self, refusal: SmtpFailure) {
        self.set(Step::Waiting(refusal));
    }

    /// Returns the failure of a conversation that took too long.
    pub(super) fn timed_out(self, limit: Duration) -> SmtpFailure {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Step::Stage(stage, replies) => SmtpFailure::timed_out(stage, limit).after(&replies),
            Step::Waiting(refusal) => refusal,
        }
    }
}

/// Sends a mail. After an error, the connection must not be reused.
pub(super) async fn send(
    connection: &mut Connection,
    message: &Message,
    progress: &Progress,
) -> Result<(), SmtpFailure> {
    let (envelope, raw) = (message.envelope(), message.formatted());
    let mut parameters = Vec::new();
    if let Some(stage) = needs_smtputf8(envelope.from(), envelope.to()) {
        let server = connection.smtp.server_info();
        if !server.supports_feature(Extension::SmtpUtfEight) {
            let message =
                "the address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)";
            return Err(SmtpFailure::before(stage, message));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !raw.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let sender = Mail::new(envelope.from().cloned(), parameters);
    let accepted = command(connection, progress, Stage::Sender, sender).await?;
    expect_completion(Stage::Sender, &accepted)?;
    for recipient in envelope.to() {
        let rcpt = Rcpt::new(recipient.clone(), Vec::new());
        let accepted = command(connection, progress, Stage::Recipient, rcpt).await;
        let accepted = accepted.map_err(|failure| failure.for_recipient(recipient.as_ref()))?;
        expect_completion(Stage::Recipient, &accepted)?;
    }
    let accepted = command(connection, progress, Stage::Data, Data).await?;
    expect_code(Stage::Data, START_MAIL_INPUT, &accepted)?;
    let accepted = command(connection, progress, Stage::Body, to_wire(&raw)).await?;
    expect_completion(Stage::Body, &accepted)
}

/// Sends a command, or the text of a mail, and reads the reply.
async fn command(
    connection: &mut Connection,
    progress: &Progress,
    stage: Stage,
    command: impl Display,
) -> Result<Response, SmtpFailure> {
    progress.set(Step::Stage(stage, connection.replies.clone()));
    let reply = connection.smtp.command(command).await;
    reply.map_err(|error| SmtpFailure::at(stage)(error).after(&connection.replies))
}

/// Checks that a reply has a code.
pub(super) fn expect_code(stage: Stage, code: u16, reply: &Response) -> Result<(), SmtpFailure> {
    if reply.has_code(code) {
        Ok(())
    } else {
        Err(SmtpFailure::unexpected(stage, &code.to_string(), reply))
    }
}

/// Checks that a reply is 2xx. lettre takes 3xx for success, too, which asks for more input (RFC 5321, 4.2.1).
pub(super) fn expect_completion(stage: Stage, reply: &Response) -> Result<(), SmtpFailure> {
    if reply.code().severity == Severity::PositiveCompletion {
        Ok(())
    } else {
        Err(SmtpFailure::unexpected(stage, "2xx", reply))
    }
}

/// Returns the stage of an address that needs SMTPUTF8. Domains are A-labels here, so only local parts matter.
fn needs_smtputf8(from: Option<&Address>, to: &[Address]) -> Option<Stage> {
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if from.is_some_and(|from| !is_ascii(from)) {
        Some(Stage::Sender)
    } else if to.iter().all(is_ascii) {
        None
    } else {
        Some(Stage::Recipient)
    }
}

/// Returns the mail with dot-stuffing and the final dot (RFC 5321, 4.5.2), to be sent in one write. lettre writes the final dot
/// separately, which takes another 40 ms a mail (Nagle's algorithm and delayed ACK).
fn to_wire(raw: &[u8]) -> String {
    let mut wire = String::from_utf8_lossy(raw).replace("\r\n.", "\r\n..");
    if wire.starts_with('.') {
        wire.insert(0, '.');
    }
    if !wire.ends_with("\r\n") {
        wire.push_str("\r\n");
    }
    wire.push_str(".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_stuffing_keeps_lines_from_ending_a_mail() {
        for (raw, wire) in [
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\nQUIT\r\n", "..\r\nQUIT\r\n.\r\n"),
            ("a\r\n.\r\n.b\r\n..", "a\r\n..\r\n..b\r\n...\r\n.\r\n"),
        ] {
            assert_eq!(to_wire(raw.as_bytes()), wire, "{raw:?}");
        }
    }
}
