//! The arguments of `latchkey-worker mails`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use latchkey_shared::{
    models::mail::{Filter, MailKind, MailState},
    types::{email::Email, time_arg::Since},
};
use uuid::Uuid;

const ENVIRONMENT: &str = "\
Environment variables: DATABASE_URL, SECRET_KEY, LOG_FORMAT, RUST_LOG. See latchkey-worker --help.

Exit codes: 0 success, 1 failure, 2 usage error, 3 no matching mail.";

/// The commands for mails.
#[derive(Debug, Subcommand)]
pub enum Mails {
    /// List the newest mails
    #[command(after_help = ENVIRONMENT)]
    List(List),
    /// Show the data of a mail, except its text
    #[command(after_help = ENVIRONMENT)]
    Show(Show),
    /// Cancel queued mails, by ID or filter
    #[command(after_help = ENVIRONMENT)]
    Cancel(Cancel),
    /// Queue mails again that were not sent, by ID or filter
    ///
    /// A code whose reset has expired cannot be sent: its mail expires again.
    #[command(after_help = ENVIRONMENT)]
    Retry(Retry),
}

/// A filter of mails.
#[derive(Debug, Args)]
pub struct MailFilter {
    /// Only mails of this kind: `reset_code`, `password_changed`, `welcome`, `activated`, `token_reused`, `address_taken`,
    /// `reset_asked`, `invitation`, `email_changed`, `email_unconfirmed`, `email_changed_by_staff`, `email_restored`,
    /// `email_change_requested`, `email_change_cancelled`, `email_code`, `activation_code`, `new_device`, `deletion_scheduled`,
    /// `deletion_cancelled`, `account_deleted`, `second_factor_added`, `second_factor_removed`, `recovery_code_used`,
    /// `recovery_codes_replaced` or `api_token_created`
    #[arg(long)]
    kind: Option<MailKind>,
    /// Only mails to this email address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Email>,
    /// Only mails created since this time (2026-11-22T10:00:00Z) or age (90m, 12h, 3d)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

impl MailFilter {
    pub(super) fn with_state(self, state: Option<MailState>, now: DateTime<Utc>) -> Filter {
        Filter {
            state,
            kind: self.kind,
            recipient: self.to.map(|to| to.key()),
            since: self.since.map(|since| since.before(now)),
            ..Filter::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kind.is_none() && self.to.is_none() && self.since.is_none()
    }
}

/// The arguments of `mails list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only mails in this state: queued, sent, failed, expired, cancelled or suppressed
    #[arg(long)]
    pub(super) state: Option<MailState>,
    #[command(flatten)]
    pub(super) filter: MailFilter,
    /// Maximum number of mails
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u64,
    /// Print one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `mails show`.
#[derive(Debug, Args)]
pub struct Show {
    /// ID of the mail
    pub(super) id: Uuid,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `mails cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// IDs of mails
    #[arg(required_unless_present_any = ["kind", "to", "since", "all"])]
    pub(super) ids: Vec<Uuid>,
    #[command(flatten)]
    pub(super) filter: MailFilter,
    /// Cancel all queued mails
    #[arg(long, conflicts_with_all = ["ids", "kind", "to", "since"])]
    pub(super) all: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `mails retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// IDs of mails
    #[arg(required_unless_present = "state", conflicts_with = "state")]
    pub(super) ids: Vec<Uuid>,
    /// Mails in this state: failed, expired, cancelled, suppressed, or queued to send them now
    #[arg(long)]
    pub(super) state: Option<MailState>,
    #[command(flatten)]
    pub(super) filter: MailFilter,
    /// Print one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}
