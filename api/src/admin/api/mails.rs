//! `/api/admin/mails/`: list and read mails, send them again, cancel them.

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

use crate::admin::{
    api::{NoContent, default_limit, parse_parameter},
    paginate,
};
use crate::{
    admin::{actions::mails, api::token::Token, permissions},
    app_state::App,
    http::{
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// A page of mails.
#[derive(Debug, Object)]
struct MailList {
    /// Newest first.
    mails: Vec<Mail>,
    /// The value of `before` for the next page; null on the last page.
    before: Option<String>,
}

/// A mail.
#[derive(Debug, Object)]
struct Mail {
    /// The id.
    id: String,
    /// The kind, such as `reset_code` or `welcome`.
    kind: String,
    /// The recipient's email address.
    to: String,
    /// The id of the account that the mail is about.
    user: Option<i64>,
    /// `queued`, `sent`, `failed`, `expired`, `cancelled` or `suppressed`.
    state: String,
    /// The time at which it was created.
    created: DateTime<Utc>,
    /// The delivery deadline.
    deliver_before: DateTime<Utc>,
    /// The number of delivery attempts.
    attempts: i32,
    /// The earliest time of the next attempt, while the mail is queued.
    next_attempt: DateTime<Utc>,
    /// The time at which the SMTP server accepted it.
    sent: Option<DateTime<Utc>>,
    /// The error of the last attempt.
    error: Option<String>,
    /// The Message-ID, without angle brackets.
    message_id: String,
    /// The id of the request that caused it.
    request: String,
}

/// A mail with its text.
#[derive(Debug, Object)]
struct MailWithText {
    /// The mail.
    mail: Mail,
    /// The subject, rendered now, with the code hidden. Null if the account no longer exists.
    subject: Option<String>,
    /// The text, rendered like the subject.
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

/// The calls for mails.
pub struct MailsApi;

#[OpenApi]
impl MailsApi {
    /// List mails
    ///
    /// Requires `mails`.
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
        /// `reset_code`, `password_changed`, `welcome`, `activated`, `token_reused`, `address_taken`, `reset_asked`,
        /// `invitation`, `email_changed`, `email_unconfirmed`, `email_changed_by_staff`, `email_restored`,
        /// `email_change_requested`, `email_change_cancelled`, `email_code`, `activation_code`, `new_device`,
        /// `deletion_scheduled`, `deletion_cancelled`, `account_deleted`, `second_factor_added`, `second_factor_removed`,
        /// `recovery_code_used`, `recovery_codes_replaced` or `api_token_created`.
        Query(kind): Query<Option<String>>,
        /// Only mails to this email address, without regard to case.
        Query(to): Query<Option<String>>,
        /// Only mails older than this one.
        Query(before): Query<Option<String>>,
        /// Maximum number of results.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<MailList>, ErrorResponses<400, 401, 403>> {
        let filter = Filter {
            state: parse_parameter("state", state)?,
            kind: parse_parameter("kind", kind)?,
            recipient: parse_parameter::<Email>("to", to)?.map(|to| to.key()),
            before: parse_parameter("before", before)?,
            ..Filter::default()
        };
        let rows = mail::list(&app.db, filter, u64::from(limit) + 1).await?;
        let (rows, before) = paginate(rows, limit.into(), |row| row.id.to_string());
        Ok(Json(MailList {
            mails: rows.into_iter().map(Mail::of).collect(),
            before,
        }))
    }

    /// Read a mail
    ///
    /// Requires `mails`.
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
        /// The mail id.
        Path(id): Path<String>,
    ) -> Result<Json<MailWithText>, ErrorResponses<401, 403, 404>> {
        let row = mails::find(app, parse_id(&id)?).await?;
        let preview = mails::preview(app, &row).await?;
        let (subject, text) = preview.map(|mail| (mail.subject, mail.text)).unzip();
        Ok(Json(MailWithText {
            mail: Mail::of(row),
            subject,
            text,
        }))
    }

    /// Send a mail again
    ///
    /// Requires `mails`. Possible for mails that are failed, expired, cancelled or suppressed.
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
        /// The mail id.
        Path(id): Path<String>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404, 409>> {
        mails::retry(app, &admin, parse_id(&id)?).await?;
        Ok(NoContent::Done)
    }

    /// Cancel a mail
    ///
    /// Requires `mails`. Possible for queued mails that no worker is delivering.
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
        /// The mail id.
        Path(id): Path<String>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404, 409>> {
        mails::cancel(app, &admin, parse_id(&id)?).await?;
        Ok(NoContent::Done)
    }
}

fn parse_id(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| ApiError::NotFound)
}
