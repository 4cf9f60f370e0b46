//! The arguments of `latchkey-worker mails`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use latchkey_shared::{
    models::mail::{Filter, MailKind, MailState},
    types::{email::Email, time_arg::Since},
};
use uuid::Uuid;

const VARIABLES: &str = "\
Environment (each variable also as NAME_FILE, the path of a file with the value; .env is read, too):
  DATABASE_URL          sqlite://path or postgres://… [sqlite://var/latchkey.db]
  SECRET_KEY            the same as for the API
  RUST_LOG, LOG_FORMAT  log filter; text or json";

/// The commands for mails.
#[derive(Debug, Subcommand)]
pub enum Mails {
    /// List the newest mails. Exits with 3 if there are none.
    #[command(after_help = VARIABLES)]
    List(List),
    /// Show the data of a mail, except its text. Exits with 3 if there is no such mail.
    #[command(after_help = VARIABLES)]
    Show(Show),
    /// Cancel queued mails, by id or filter. Exits with 3 if none was cancelled.
    #[command(after_help = VARIABLES)]
    Cancel(Cancel),
    /// Queue mails again that were not sent, by id or filter. Exits with 3 if there are none.
    ///
    /// A code whose reset has expired cannot be sent: its mail expires again.
    #[command(after_help = VARIABLES)]
    Retry(Retry),
}

/// A filter of mails.
#[derive(Debug, Args)]
pub struct MailFilter {
    /// `reset_code`, `password_changed`, `welcome`, `activated`, `token_replayed`, `address_taken`, `reset_asked`,
    /// `email_changed` or `activation_code`.
    #[arg(long)]
    kind: Option<MailKind>,
    /// Email address of the recipient.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Email>,
    /// Created at or after this time (2026-11-22T10:00:00Z), or within this period (90m, 12h, 3d).
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
    /// queued, sent, failed, expired, cancelled or suppressed.
    #[arg(long)]
    pub(super) state: Option<MailState>,
    #[command(flatten)]
    pub(super) filter: MailFilter,
    /// Maximum number of mails.
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u64,
    /// Print a JSON object per line.
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `mails show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Id of the mail.
    pub(super) id: Uuid,
    /// Print a JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `mails cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// Ids of mails.
    #[arg(required_unless_present_any = ["kind", "to", "since", "all"])]
    pub(super) ids: Vec<Uuid>,
    #[command(flatten)]
    pub(super) filter: MailFilter,
    /// Cancel all queued mails.
    #[arg(long, conflicts_with_all = ["ids", "kind", "to", "since"])]
    pub(super) all: bool,
    /// Print a JSON object per line.
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `mails retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// Ids of mails.
    #[arg(required_unless_present = "state", conflicts_with = "state")]
    pub(super) ids: Vec<Uuid>,
    /// State of mails: failed, expired, cancelled, suppressed, or queued to try them now.
    #[arg(long)]
    pub(super) state: Option<MailState>,
    #[command(flatten)]
    pub(super) filter: MailFilter,
    /// Print a JSON object per line.
    #[arg(long)]
    pub(super) json: bool,
}
