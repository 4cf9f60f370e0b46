//! `latchkey-worker mails`: lists, shows, cancels and retries mails.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    database::Database,
    models::mail::{self, Filter, MailState},
};
use sea_orm::DbErr;
use uuid::Uuid;

mod args;
mod output;

pub use args::{Cancel, List, MailFilter, Mails, Retry, Show};
pub use output::Answer;

/// Maximum number of mails that one command changes.
const MAX_CHANGES: u64 = 100_000;

impl Mails {
    /// Runs the command and returns its output.
    pub async fn run(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        match self {
            Self::List(list) => list.run(db, now).await,
            Self::Show(show) => show.run(db).await,
            Self::Cancel(cancel) => cancel.run(db, now).await,
            Self::Retry(retry) => retry.run(db, now).await,
        }
    }
}

impl List {
    async fn run(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        let filter = self.filter.with_state(self.state, now);
        let mails = mail::list(db, filter, self.limit).await?;
        Ok(Answer {
            text: if self.json {
                output::json_lines(&mails)
            } else {
                output::table(&mails)
            },
            found: !mails.is_empty(),
        })
    }
}

impl Show {
    async fn run(self, db: &Database) -> Result<Answer, DbErr> {
        let Some(mail) = mail::find(db, self.id).await? else {
            return Ok(Answer {
                text: format!("{}  no such mail\n", self.id),
                found: false,
            });
        };
        let text = if self.json {
            format!("{}\n", output::fields(&mail))
        } else {
            output::details(&mail)
        };
        Ok(Answer { text, found: true })
    }
}

impl Cancel {
    async fn run(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        let mut ids = self.ids;
        if self.all || !self.filter.is_empty() {
            ids = find_ids(db, self.filter.with_state(Some(MailState::Queued), now)).await?;
        }
        let mut answer = Answer::default();
        for id in ids {
            let cancelled = mail::cancel(db, id, now).await?;
            let message = if cancelled {
                "cancelled"
            } else {
                "not queued, or being sent"
            };
            answer.add_change(id, cancelled, message, self.json);
        }
        Ok(answer)
    }
}

impl Retry {
    async fn run(self, db: &Database, now: DateTime<Utc>) -> Result<Answer, DbErr> {
        let mut ids = self.ids;
        if self.state.is_some() {
            ids = find_ids(db, self.filter.with_state(self.state, now)).await?;
        }
        let mut answer = Answer::default();
        for id in ids {
            let queued = mail::retry(db, id, now).await?;
            let message = if queued {
                "queued again"
            } else {
                "no such mail, or already sent"
            };
            answer.add_change(id, queued, message, self.json);
        }
        Ok(answer)
    }
}

async fn find_ids(db: &Database, filter: Filter) -> Result<Vec<Uuid>, DbErr> {
    let mails = mail::list(db, filter, MAX_CHANGES).await?;
    Ok(mails.into_iter().map(|mail| mail.id).collect())
}
