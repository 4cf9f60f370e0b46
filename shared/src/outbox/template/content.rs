//! The content of a mail.

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use crate::{
    models::{
        mail::{self, MailKind},
        user,
    },
    redis::one_time_code::Otp,
    types::api_token_name::ApiTokenName,
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
        /// The name of the API token that was created. Only [`MailKind::ApiTokenCreated`] has it.
        api_token: Option<ApiTokenName>,
        /// When the account will be deleted. Only [`MailKind::DeletionScheduled`] has it.
        deletion_at: Option<DateTime<Utc>>,
        /// The page that undoes the event. Only with [`MailKind::EmailChangeRequested`].
        cancel_url: Option<Url>,
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
    /// Returns the content of a stored notification to the owner of an account, if it still exists. `None` for mails with a one-time
    /// code, and if the mail is about something that no longer holds: the account, or its scheduled deletion.
    #[must_use]
    pub fn notice(
        kind: MailKind,
        mail: &mail::Model,
        owner: Option<&user::Model>,
        cancel_url: Option<Url>,
    ) -> Option<Self> {
        let deletion_at = owner
            .and_then(|owner| owner.deletion_at)
            .filter(|_| kind == MailKind::DeletionScheduled);
        let is_stale = match kind {
            MailKind::DeletionScheduled => deletion_at.is_none(),
            kind => owner.is_none() && !kind.outlives_account(),
        };
        (kind.purpose().is_none() && !is_stale).then_some(Self::Notice {
            kind,
            at: mail.created_at,
            device: mail.device.clone(),
            api_token: mail.api_token_name.clone(),
            deletion_at,
            cancel_url,
        })
    }

    /// Returns the kind of mail.
    #[must_use]
    pub fn kind(&self) -> MailKind {
        match self {
            Self::Code { kind, .. } | Self::Notice { kind, .. } => *kind,
        }
    }
}
