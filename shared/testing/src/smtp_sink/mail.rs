//! Accepted mails.

use chrono::{DateTime, Utc};
use latchkey_shared::clock::Clock;
use mail_parser::MessageParser;

/// An accepted mail.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// The sender in the envelope.
    pub from: String,
    /// The recipients in the envelope.
    pub to: Vec<String>,
    /// Whether the connection used TLS.
    pub encrypted: bool,
    /// The message as received.
    pub raw: String,
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The Message-ID without the angle brackets.
    pub message_id: String,
    /// The time of acceptance.
    pub at: DateTime<Utc>,
}

impl Mail {
    pub(super) fn parse(from: String, to: Vec<String>, encrypted: bool, raw: &[u8]) -> Self {
        let message = MessageParser::default().parse(raw).unwrap_or_default();
        let text = |part: Option<std::borrow::Cow<'_, str>>| {
            part.map(|part| part.replace("\r\n", "\n"))
                .unwrap_or_default()
        };
        Self {
            from,
            to,
            encrypted,
            raw: String::from_utf8_lossy(raw).into_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            text: text(message.body_text(0)),
            html: text(message.body_html(0)),
            message_id: message.message_id().unwrap_or_default().to_owned(),
            at: Clock::system().now(),
        }
    }

    /// Returns a mail with only its envelope and Message-ID.
    pub(super) fn parse_envelope(
        from: String,
        to: Vec<String>,
        encrypted: bool,
        raw: &[u8],
    ) -> Self {
        let raw = String::from_utf8_lossy(raw);
        let id = raw
            .lines()
            .find_map(|line| line.strip_prefix("Message-ID: <"));
        Self {
            from,
            to,
            encrypted,
            message_id: id.unwrap_or_default().trim_end_matches('>').to_owned(),
            at: Clock::system().now(),
            ..Self::default()
        }
    }

    /// Returns the raw, trimmed value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let message = MessageParser::default().parse(self.raw.as_bytes())?;
        Some(message.header_raw(name)?.trim().to_owned())
    }

    /// Returns the one-time code in the text: the first line of only digits, at least four.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        self.text
            .lines()
            .map(str::trim)
            .find(|line| line.len() >= 4 && line.bytes().all(|byte| byte.is_ascii_digit()))
            .map(str::to_owned)
    }
}
