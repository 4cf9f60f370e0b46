//! What an operator can ask of the mails.

use std::fmt::Write as _;

use clap::{Args, Parser, Subcommand};
use latchkey_shared::{
    database::Database,
    models::mail::{self, Filter, MailKind, MailState},
    types::{email::Email, time_arg::Since},
};
use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use chrono::{DateTime, Utc};

/// The most mails that one command changes.
const CHANGE_LIMIT: u64 = 100_000;

const VARIABLES: &str = "\
Environment (each also as NAME_FILE, the path of a file with the value; .env is read, too):
  DATABASE_URL          sqlite://path or postgres://… [sqlite://var/latchkey.db]
  SECRET_KEY            the same as the API's
  RUST_LOG, LOG_FORMAT  what is logged; text or json";

const RUN_VARIABLES: &str = "\
Environment (each also as NAME_FILE, the path of a file with the value; .env is read, too):
  SECRET_KEY            the same as the API's
  DATABASE_URL          sqlite://path or postgres://… [sqlite://var/latchkey.db]
  REDIS_URL             redis://… [redis://127.0.0.1:6379]
  REDIS_NAMESPACE       keeps installations in one Redis apart [latchkey]
  SMTP_URL              smtp://[user:password@]host[:port][?tls=required|opportunistic|none]
                        or smtps://…; unset: mails go to MAIL_DIR
  SMTP_CA_FILE          a private authority to trust, in PEM form
  SMTP_TIMEOUT_SECONDS  how long one mail may take [30]
  SMTP_MAX_PER_SECOND   mails that all workers together hand over in a second [no limit]
  MAIL_DIR              [var/mail]
  MAIL_FROM             [Latchkey <no-reply@localhost>]
  SUPPORT_ADDRESS       whom mails tell people to write to
  PRODUCT_NAME          [Latchkey]
  PUBLIC_URL            where clients reach the API [http://127.0.0.1:8000]
  OTP_SECONDS           how long a code counts, from the moment SMTP took its mail [300]
  OTP_DIGITS            the same for the API [6]
  WORKER_CONCURRENCY    mails handed over at once [16]
  METRICS_BIND          /metrics and /health of this worker, or off [127.0.0.1:9101]
  SHUTDOWN_SECONDS      how long a stopping worker finishes what it has begun [25]
  ENVIRONMENT           development or production [development]
  OTEL_EXPORTER_OTLP_ENDPOINT  http:// URL of a collector of traces [none]
  RUST_LOG, LOG_FORMAT  what is logged; text or json

Exit codes: 0 done, 1 failed, or mails were abandoned at the end, 2 wrong usage, 3 nothing matched.";

/// Delivers Latchkey's mails.
#[derive(Debug, Parser)]
#[command(name = "latchkey-worker", version, after_help = RUN_VARIABLES)]
pub struct CommandLine {
    /// Without a command, it runs.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What it can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver mails until SIGTERM or Ctrl-C (the default).
    #[command(after_help = RUN_VARIABLES)]
    Run(Run),
    /// Try SMTP, Redis and the database, and say what to mend. Exit code 1 when something does not work.
    ///
    /// Does not check `MEDIA_DIR`, which workers do not use: the API's /health/ready does.
    #[command(after_help = RUN_VARIABLES)]
    Doctor(Doctor),
    /// Look at mails, and queue some anew.
    #[command(subcommand)]
    Mails(Mails),
}

/// How to run.
#[derive(Debug, Default, Args)]
pub struct Run {
    /// Mails handed over at once; counts more than `WORKER_CONCURRENCY`.
    #[arg(long, value_name = "MAILS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: Option<u16>,
}

/// How to report.
#[derive(Debug, Args)]
pub struct Doctor {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What can be asked of mails.
#[derive(Debug, Subcommand)]
pub enum Mails {
    /// List the newest mails. Exit code 3 when there are none.
    #[command(after_help = VARIABLES)]
    List(List),
    /// Show all that is known of one mail, but its text. Exit code 3 when there is no such mail.
    #[command(after_help = VARIABLES)]
    Show(Show),
    /// End mails that wait, by their ids or by what is known of them. Exit code 3 when none does.
    #[command(after_help = VARIABLES)]
    Cancel(Cancel),
    /// Queue mails anew that were not sent, by their ids or by what is known of them. Exit code 3 when there is none. What has lost its worth since, such as the
    /// code of a reset that ran out, expires instead.
    #[command(after_help = VARIABLES)]
    Retry(Retry),
}

/// What is known of mails.
#[derive(Debug, Args)]
pub struct MailDetails {
    /// `reset_code`, `password_changed`, `welcome`, `activated`, `token_replayed`, `address_taken`, `reset_asked`,
    /// `email_changed` or `activation_code`.
    #[arg(long)]
    kind: Option<MailKind>,
    /// The address they go to.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Email>,
    /// Not made before this: 2026-11-22T10:00:00Z, or so long ago: 90m, 12h, 3d.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

impl MailDetails {
    fn filter(self, state: Option<MailState>, now: DateTime<Utc>) -> Filter {
        Filter {
            state,
            kind: self.kind,
            recipient: self.to.map(|to| to.key()),
            since: self.since.map(|since| since.before(now)),
            ..Filter::default()
        }
    }

    fn says_nothing(&self) -> bool {
        self.kind.is_none() && self.to.is_none() && self.since.is_none()
    }
}

/// Which mails to list.
#[derive(Debug, Args)]
pub struct List {
    /// queued, sent, failed, expired, cancelled or suppressed.
    #[arg(long)]
    state: Option<MailState>,
    #[command(flatten)]
    known: MailDetails,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Which mail to show.
#[derive(Debug, Args)]
pub struct Show {
    /// Its id.
    id: Uuid,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which mails to end.
#[derive(Debug, Args)]
pub struct Cancel {
    /// Their ids.
    #[arg(required_unless_present_any = ["kind", "to", "since", "all"])]
    ids: Vec<Uuid>,
    #[command(flatten)]
    known: MailDetails,
    /// Every mail that waits.
    #[arg(long, conflicts_with_all = ["ids", "kind", "to", "since"])]
    all: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Which mails to queue anew.
#[derive(Debug, Args)]
pub struct Retry {
    /// Their ids.
    #[arg(required_unless_present = "state", conflicts_with = "state")]
    ids: Vec<Uuid>,
    /// Those that are failed, expired, cancelled or suppressed, or queued and should not wait for their next try.
    #[arg(long)]
    state: Option<MailState>,
    #[command(flatten)]
    known: MailDetails,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What a command has to say, and whether it found anything.
#[derive(Debug)]
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// False: exit code 3.
    pub found: bool,
}

impl Mails {
    /// Does it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answer(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        match self {
            Self::List(list) => list.answer(db, now).await,
            Self::Show(show) => show.answer(db).await,
            Self::Cancel(cancel) => cancel.answer(db, now).await,
            Self::Retry(retry) => retry.answer(db, now).await,
        }
    }
}

impl List {
    async fn answer(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        let filter = self.known.filter(self.state, now);
        let mails = mail::list(db, filter, self.limit).await?;
        let text = if self.json {
            mails.iter().fold(String::new(), |mut text, mail| {
                let _ = writeln!(text, "{}", json(mail));
                text
            })
        } else {
            table(&mails)
        };
        Ok(Answer {
            text,
            found: !mails.is_empty(),
        })
    }
}

impl Show {
    async fn answer(self, db: &Database) -> Result<Answer, DbErr> {
        let Some(mail) = mail::find(db, self.id).await? else {
            return Ok(Answer {
                text: format!("{}  no such mail\n", self.id),
                found: false,
            });
        };
        let facts = json(&mail);
        let text = if self.json {
            format!("{facts}\n")
        } else {
            facts
                .as_object()
                .into_iter()
                .flatten()
                .fold(String::new(), |mut text, (name, fact)| {
                    let fact = fact.as_str().map_or_else(|| fact.to_string(), printable);
                    let _ = writeln!(text, "{name:16}{fact}");
                    text
                })
        };
        Ok(Answer { text, found: true })
    }
}

impl Cancel {
    async fn answer(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        let mut ids = self.ids;
        if self.all || !self.known.says_nothing() {
            let filter = self.known.filter(Some(MailState::Queued), now);
            ids = ids_of(db, filter).await?;
        }
        let mut done = Done::new(self.json);
        for id in ids {
            let cancelled = mail::cancel(db, id, now).await?;
            done.note(
                id,
                cancelled,
                if cancelled {
                    "cancelled"
                } else {
                    "no such mail waits, or it is being sent"
                },
            );
        }
        Ok(done.answer)
    }
}

impl Retry {
    async fn answer(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        let mut ids = self.ids;
        if self.state.is_some() {
            ids = ids_of(db, self.known.filter(self.state, now)).await?;
        }
        let mut done = Done::new(self.json);
        for id in ids {
            let retried = mail::retry(db, id, now).await?;
            done.note(
                id,
                retried,
                if retried {
                    "queued anew"
                } else {
                    "no such mail, or sent already"
                },
            );
        }
        Ok(done.answer)
    }
}

async fn ids_of(db: &Database, filter: Filter) -> Result<Vec<Uuid>, DbErr> {
    let mails = mail::list(db, filter, CHANGE_LIMIT).await?;
    Ok(mails.into_iter().map(|mail| mail.id).collect())
}

/// What was done to mails, a line each.
struct Done {
    json: bool,
    answer: Answer,
}

impl Done {
    fn new(json: bool) -> Self {
        Self {
            json,
            answer: Answer {
                text: String::new(),
                found: false,
            },
        }
    }

    fn note(&mut self, id: Uuid, done: bool, what: &str) {
        self.answer.found |= done;
        let _ = if self.json {
            let line = json!({"id": id, "done": done, "what": what});
            writeln!(self.answer.text, "{line}")
        } else {
            writeln!(self.answer.text, "{id}  {what}")
        };
    }
}

fn json(mail: &mail::Model) -> serde_json::Value {
    json!({
        "id": mail.id,
        "kind": mail.kind,
        "state": mail.state.to_string(),
        "attempts": mail.attempts,
        "created_at": mail.created_at,
        "deliver_before": mail.deliver_before,
        "next_attempt_at": mail.next_attempt_at,
        "sent_at": mail.sent_at,
        "recipient": mail.recipient,
        "last_error": mail.last_error,
        "message_id": mail.message_id,
        "request_id": mail.request_id,
        "trace": mail.trace,
    })
}

fn table(mails: &[mail::Model]) -> String {
    let head = [
        "ID",
        "KIND",
        "STATE",
        "TRIES",
        "CREATED",
        "NEXT TRY",
        "RECIPIENT",
        "LAST ERROR",
    ];
    let rows: Vec<[String; 8]> = std::iter::once(head.map(str::to_owned))
        .chain(mails.iter().map(row))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            let width = longest.unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(mail: &mail::Model) -> [String; 8] {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    let waits = mail.state == MailState::Queued;
    [
        mail.id.to_string(),
        mail.kind.clone(),
        mail.state.to_string(),
        mail.attempts.to_string(),
        time(mail.created_at),
        if waits {
            time(mail.next_attempt_at)
        } else {
            "-".to_owned()
        },
        mail.recipient.clone(),
        mail.last_error.clone().unwrap_or_else(|| "-".to_owned()),
    ]
    .map(|cell| printable(&cell))
}

/// Rows may hold anything; a terminal should not.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
