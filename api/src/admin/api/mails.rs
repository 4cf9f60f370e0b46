//! `/api/admin/mails/`: what was sent, what waits, what failed and why; sending again, cancelling.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    models::mail::{self, Filter},
    types::email::Email,
};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use uuid::Uuid;

use crate::admin::api::{Answer, page, read, usual};
use crate::http::tag::Tag;
use crate::{
    admin::{api::token::Token, dashboard::pages::mails, permissions},
    app_state::App,
    http::error::{ApiError, responses::ErrorResponses},
};

/// A page of mails.
#[derive(Debug, Object)]
struct MailList {
    /// The newest first.
    mails: Vec<Mail>,
    /// What `before` has to be for the next page; null on the last one.
    before: Option<String>,
}

/// One mail.
#[derive(Debug, Object)]
struct Mail {
    /// Names it in paths.
    id: String,
    /// What it says, such as `reset_code` or `welcome`.
    kind: String,
    /// The address.
    to: String,
    /// The account it speaks of.
    user: Option<i64>,
    /// `queued`, `sent`, `failed`, `expired`, `cancelled` or `suppressed`.
    state: String,
    /// When its cause was accepted.
    created: DateTime<Utc>,
    /// After this it is not worth sending any more.
    deliver_before: DateTime<Utc>,
    /// How often it was tried.
    attempts: i32,
    /// While it waits: not to be tried before this.
    next_attempt: DateTime<Utc>,
    /// When SMTP accepted it.
    sent: Option<DateTime<Utc>>,
    /// Why the last try failed.
    error: Option<String>,
    /// Its Message-ID without the angle brackets.
    message_id: String,
    /// The request that caused it.
    request: String,
}

/// One mail, and what it says.
#[derive(Debug, Object)]
struct WrittenMail {
    /// The mail.
    mail: Mail,
    /// Its subject as it would be now; null when it is about an account that is gone. No code is shown.
    subject: Option<String>,
    /// Its text, in the same way.
    text: Option<String>,
}

impl Mail {
    fn of(row: mail::Model) -> Self {
        Self {
            id: row.id.to_string(),
            kind: row.kind,
            to: row.recipient,
            user: row.user_id,
            state: row.state.to_string(),
            created: row.created_at,
            deliver_before: row.deliver_before,
            attempts: row.attempts,
            next_attempt: row.next_attempt_at,
            sent: row.sent_at,
            error: row.last_error,
            message_id: row.message_id,
            request: row.request_id,
        }
    }
}

/// See the module.
pub struct Mails;

#[OpenApi]
impl Mails {
    /// List mails
    ///
    /// Needs `mails`.
    #[oai(
        path = "/api/admin/mails",
        method = "get",
        operation_id = "listMails",
        tag = "Tag::Administration"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is one parameter")]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<permissions::Mails>,
        /// `queued`, `sent`, `failed`, `expired`, `cancelled` or `suppressed`.
        Query(state): Query<Option<String>>,
        /// `reset_code`, `password_changed`, `welcome`, `activated`, `token_replayed`, `address_taken`, `reset_asked`,
        /// `email_changed` or `activation_code`.
        Query(kind): Query<Option<String>>,
        /// To this address, in whatever case.
        Query(to): Query<Option<String>>,
        /// Older than this one.
        Query(before): Query<Option<String>>,
        /// How many at most.
        #[oai(
            default = "usual",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<MailList>, ErrorResponses<400, 401, 403>> {
        let filter = Filter {
            state: read("state", state)?,
            kind: read("kind", kind)?,
            recipient: read::<Email>("to", to)?.map(|to| to.key()),
            before: read("before", before)?,
            ..Filter::default()
        };
        let rows = mail::list(&app.db, filter, u64::from(limit) + 1).await?;
        let (rows, before) = page(rows, limit, |row| row.id.to_string());
        Ok(Json(MailList {
            mails: rows.into_iter().map(Mail::of).collect(),
            before,
        }))
    }

    /// Read a mail
    ///
    /// Needs `mails`.
    #[oai(
        path = "/api/admin/mails/:id",
        method = "get",
        operation_id = "getMail",
        tag = "Tag::Administration"
    )]
    async fn read(
        &self,
        Data(app): Data<&App>,
        _admin: Token<permissions::Mails>,
        /// The mail.
        Path(id): Path<String>,
    ) -> Result<Json<WrittenMail>, ErrorResponses<401, 403, 404>> {
        let row = mails::find(app, named(&id)?).await?;
        let written = mails::preview(app, &row).await?;
        let (subject, text) = written.map(|it| (it.subject, it.text)).unzip();
        Ok(Json(WrittenMail {
            mail: Mail::of(row),
            subject,
            text,
        }))
    }

    /// Send a mail again
    ///
    /// Needs `mails`. Only what ended without being sent.
    #[oai(
        path = "/api/admin/mails/:id/retry",
        method = "post",
        operation_id = "retryMail",
        tag = "Tag::Administration"
    )]
    async fn retry(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<permissions::Mails>,
        /// The mail.
        Path(id): Path<String>,
    ) -> Result<Answer, ErrorResponses<401, 403, 404, 409>> {
        mails::retry(app, &admin, named(&id)?).await?;
        Ok(Answer::Done)
    }

    /// Cancel a mail
    ///
    /// Needs `mails`. Only what waits, and is not being sent just now.
    #[oai(
        path = "/api/admin/mails/:id/cancel",
        method = "post",
        operation_id = "cancelMail",
        tag = "Tag::Administration"
    )]
    async fn cancel(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<permissions::Mails>,
        /// The mail.
        Path(id): Path<String>,
    ) -> Result<Answer, ErrorResponses<401, 403, 404, 409>> {
        mails::cancel(app, &admin, named(&id)?).await?;
        Ok(Answer::Done)
    }
}

fn named(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| ApiError::NotFound)
}
