//! Composes the message of a mail: headers around the parts that `latchkey_shared::outbox::template` renders.

use std::{sync::Arc, time::SystemTime};

use chrono::{DateTime, Utc};
use latchkey_shared::{
    outbox::template::RenderedMail,
    types::{email::Email, logo::Logo},
};
use lettre::{
    Address, Message,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use url::Host;

/// The headers of one mail.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// `MAIL_FROM`
    pub from: Mailbox,
    /// The recipient.
    pub to: Address,
    /// The Message-ID without the angle brackets.
    pub message_id: &'a str,
    /// The `Date` header.
    pub date: DateTime<Utc>,
}

/// Returns the address of an account, with an internationalized domain in A-labels. lettre's own check would reject some valid
/// local parts.
#[must_use]
pub fn address(email: &Email) -> Address {
    if email.domain().is_ascii() {
        return Address::new_dangerous(email.local_part(), email.domain());
    }
    Address::new_dangerous(email.local_part(), email.ascii_domain())
}

/// Returns an address with an internationalized domain in A-labels (RFC 5890, 2.3.2.1), which every server accepts.
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

/// Composes a complete message.
///
/// # Errors
/// When the headers are invalid.
pub fn message(
    rendered: RenderedMail,
    envelope: Envelope<'_>,
) -> Result<Message, lettre::error::Error> {
    let RenderedMail {
        subject,
        text,
        html,
        logo,
        ..
    } = rendered;
    // Suppresses automatic replies, such as vacation notices (RFC 3834, section 5).
    let auto_submitted = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    // Set explicitly: lettre would parse it from the headers and lose a local part that its parser rejects.
    let smtp_envelope = lettre::address::Envelope::new(
        Some(envelope.from.email.clone()),
        vec![envelope.to.clone()],
    )?;
    Message::builder()
        .envelope(smtp_envelope)
        .from(envelope.from)
        .to(Mailbox::new(None, envelope.to))
        .subject(subject)
        .message_id(Some(format!("<{}>", envelope.message_id)))
        .date(SystemTime::from(envelope.date))
        .raw_header(auto_submitted)
        .multipart(parts(text, html, logo))
}

/// Returns the text part and the HTML part, the latter with its logo (RFC 2387).
fn parts(text: String, html: String, logo: Option<Arc<[u8]>>) -> MultiPart {
    let Some(logo) = logo else {
        return MultiPart::alternative_plain_html(text, html);
    };
    let content_type = ContentType::parse(Logo::PNG).expect("the media type is valid");
    let picture = Attachment::new_inline(RenderedMail::LOGO_ID.to_owned());
    MultiPart::alternative()
        .singlepart(SinglePart::plain(text))
        .multipart(
            MultiPart::related()
                .singlepart(SinglePart::html(html))
                .singlepart(picture.body(logo.to_vec(), content_type)),
        )
}
