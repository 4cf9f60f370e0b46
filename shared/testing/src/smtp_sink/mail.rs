//! What the server accepted.

use chrono::{DateTime, Utc};
use latchkey_shared::clock::Clock;
use mail_parser::MessageParser;

/// One accepted mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// As it came over the wire.
    pub raw: String,
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The Message-ID without the angle brackets.
    pub message_id: String,
    /// When it was accepted.
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

    /// The envelope and the Message-ID alone, for those who mean to get very many.
    pub(super) fn parse_briefly(
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
            raw: String::new(),
            subject: String::new(),
            text: String::new(),
            html: String::new(),
            message_id: id.unwrap_or_default().trim_end_matches('>').to_owned(),
            at: Clock::system().now(),
        }
    }

    /// A header as it came, trimmed.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let message = MessageParser::default().parse(self.raw.as_bytes())?;
        Some(message.header_raw(name)?.trim().to_owned())
    }

    /// The one-time code in the text: its first line that is nothing but digits.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        self.text
            .lines()
            .map(str::trim)
            .find(|line| line.len() >= 4 && line.bytes().all(|byte| byte.is_ascii_digit()))
            .map(str::to_owned)
    }
}
