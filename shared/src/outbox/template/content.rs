//! The content of a mail.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    models::mail::{self, MailKind},
    redis::one_time_code::Otp,
};

/// The content of a mail, which a template of its kind renders.
#[derive(Debug)]
pub enum Content {
    /// A one-time code.
    Code {
        /// The kind of mail, which has a [purpose](MailKind::purpose).
        kind: MailKind,
        /// The code.
        code: Code,
        /// When the code was requested.
        at: DateTime<Utc>,
        /// The browser and the system of the request, if known.
        device: Option<String>,
        /// The time until the code expires.
        lifetime: TimeDelta,
    },
    /// A notification.
    Notice {
        /// The kind of mail.
        kind: MailKind,
        /// When the event happened that the mail is about.
        at: DateTime<Utc>,
        /// The browser and the system of the login that the mail is about, if known.
        device: Option<String>,
    },
}

/// A one-time code in a mail.
#[derive(Debug)]
pub enum Code {
    /// The code itself, for its owner.
    Shown(Otp),
    /// A placeholder, for previews.
    Hidden,
}

impl Code {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Shown(code) => code.expose(),
            Self::Hidden => "······",
        }
    }
}

impl Content {
    /// Returns the content of a stored notification. `None` for mails with a one-time code.
    #[must_use]
    pub fn notice(kind: MailKind, mail: &mail::Model) -> Option<Self> {
        let (at, device) = (mail.created_at, mail.device.clone());
        kind.purpose()
            .is_none()
            .then_some(Self::Notice { kind, at, device })
    }

    /// Returns the kind of mail.
    #[must_use]
    pub fn kind(&self) -> MailKind {
        match self {
            Self::Code { kind, .. } | Self::Notice { kind, .. } => *kind,
        }
    }
}
