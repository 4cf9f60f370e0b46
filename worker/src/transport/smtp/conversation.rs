//! Sends one mail over one connection, from `MAIL FROM` to the reply to its text.

use lettre::{
    Address, Message,
    transport::smtp::{
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        extension::{Extension, MailBodyParameter, MailParameter},
        response::{Response, Severity},
    },
};

use crate::transport::smtp::failure::{SmtpFailure, Stage};

/// The reply to `DATA` (RFC 5321, 4.3.2).
const START_MAIL_INPUT: u16 = 354;

/// Sends a mail. After an error, the connection must not be reused.
pub(super) async fn send(
    connection: &mut AsyncSmtpConnection,
    message: &Message,
) -> Result<(), SmtpFailure> {
    let (envelope, raw) = (message.envelope(), message.formatted());
    let mut parameters = Vec::new();
    if let Some(stage) = needs_smtputf8(envelope.from(), envelope.to()) {
        let server = connection.server_info();
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
    let accepted = connection.command(sender).await;
    let accepted = accepted.map_err(SmtpFailure::at(Stage::Sender))?;
    expect_completion(Stage::Sender, &accepted)?;
    for recipient in envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), Vec::new());
        let accepted = connection.command(recipient).await;
        let accepted = accepted.map_err(SmtpFailure::at(Stage::Recipient))?;
        expect_completion(Stage::Recipient, &accepted)?;
    }
    let accepted = connection.command(Data).await;
    let accepted = accepted.map_err(SmtpFailure::at(Stage::Data))?;
    if !accepted.has_code(START_MAIL_INPUT) {
        return Err(SmtpFailure::unexpected(Stage::Data, "354", &accepted));
    }
    let accepted = connection.command(to_wire(&raw)).await;
    let accepted = accepted.map_err(SmtpFailure::at(Stage::Body))?;
    expect_completion(Stage::Body, &accepted)
}

/// Checks that a reply is 2xx. lettre takes 3xx for success, too, which asks for more input (RFC 5321, 4.2.1).
fn expect_completion(stage: Stage, reply: &Response) -> Result<(), SmtpFailure> {
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
