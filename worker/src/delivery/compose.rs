//! A mail as SMTP takes it: its head around what `latchkey_shared::outbox::template` says.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use latchkey_shared::{
    outbox::template::{Content, MailBranding},
    types::email::Email,
};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use url::Host;

/// The head of one mail.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// `MAIL_FROM`
    pub from: Mailbox,
    /// To whom.
    pub to: Address,
    /// The Message-ID without the angle brackets.
    pub message_id: &'a str,
    /// The `Date`.
    pub date: DateTime<Utc>,
}

/// Why a mail could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A template failed.
    #[error("the template: {0}")]
    Template(#[from] askama::Error),
    /// The head did not hold together.
    #[error("the message: {0}")]
    Message(#[from] lettre::error::Error),
}

/// Returns the address of an account, with a domain beyond ASCII in A-labels. lettre's own check accepts fewer local parts
/// than there are.
#[must_use]
pub fn address(email: &Email) -> Address {
    if email.domain().is_ascii() {
        return Address::new_dangerous(email.local_part(), email.domain());
    }
    Address::new_dangerous(email.local_part(), email.ascii_domain())
}

/// The same address with a domain beyond ASCII in A-labels (RFC 5890, 2.3.2.1), which every server accepts.
#[must_use]
pub fn with_ascii_domain(address: Address) -> Address {
    if address.domain().is_ascii() {
        return address;
    }
    match Host::parse(address.domain()) {
        Ok(Host::Domain(domain)) => Address::new(address.user(), domain).unwrap_or(address),
        _ => address,
    }
}

/// Makes a whole message.
///
/// # Errors
/// When a template fails or the head does not hold together.
pub fn message(
    content: &Content,
    head: &MailBranding,
    envelope: Envelope<'_>,
) -> Result<Message, ComposeError> {
    let written = content.write(head)?;
    // RFC 3834: no holiday answers to these.
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    // Said outright: lettre reads it back from the head otherwise, and loses a local part that its parser does not know.
    let smtp = lettre::address::Envelope::new(
        Some(envelope.from.email.clone()),
        vec![envelope.to.clone()],
    )?;
    Ok(Message::builder()
        .envelope(smtp)
        .from(envelope.from)
        .to(Mailbox::new(None, envelope.to))
        .subject(written.subject)
        .message_id(Some(format!("<{}>", envelope.message_id)))
        .date(SystemTime::from(envelope.date))
        .raw_header(automatic)
        .multipart(MultiPart::alternative_plain_html(
            written.text,
            written.html,
        ))?)
}
