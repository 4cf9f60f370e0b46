//! Checks one-time codes sent by email. The purpose of a code is a password reset (`password_reset`), the activation of an account
//! (`activation`) or the confirmation of an email (`email_change`).

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::{Event, EventKind},
        password_reset::{self, Model as Reset, Purpose},
        user,
    },
    redis::one_time_code::Otp,
    types::validation_error::Invalid,
};
use poem_openapi::{Object, types::Example};
use sea_orm::DbErr;

use crate::{
    app_state::App,
    auth::{
        email_change::{self, Confirmed},
        jwt::ResetToken,
    },
    http::{
        audit_context::AuditContext,
        body::{
            Body,
            fields::{Fields, FromField},
        },
        error::ApiError,
    },
    rate_limit::Limit,
};

/// The code from the email.
#[derive(Debug, Object)]
#[oai(rename = "OtpCheck", example)]
pub struct OtpCheckRequest {
    /// The token of the code request.
    #[oai(validator(min_length = 1))]
    token: String,
    /// The digits from the email, as a text or a number. Digits of any script, spaces and hyphens are accepted.
    #[oai(validator(min_length = 1))]
    otp: String,
}

impl Example for OtpCheckRequest {
    fn example() -> Self {
        Self {
            token: "the token of step 1".to_owned(),
            otp: "123456".to_owned(),
        }
    }
}

/// A completed step.
#[derive(Debug, Object)]
pub struct Message {
    /// The result, for people.
    pub message: String,
}

/// The field of a code, before the number of digits is checked.
pub enum TypedCode {
    /// A text.
    Text(String),
    /// A JSON number.
    Number(String),
}

impl FromField for TypedCode {
    const MAX_BYTES: usize = 1024;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Ok(Self::Text(text.to_owned()))
    }

    fn from_number(number: &str) -> Result<Self, Invalid> {
        Ok(Self::Number(number.to_owned()))
    }
}

impl TypedCode {
    /// Reads a code of this number of digits.
    pub fn read(&self, digits: u32) -> Result<Otp, Invalid> {
        match self {
            Self::Text(text) => Otp::from_typed(text, digits),
            Self::Number(number) => Otp::from_number(number, digits),
        }
    }
}

/// Reads the fields of a check: the token and the code.
fn parse(app: &App, mut fields: Fields) -> Result<(ResetToken, Otp), ApiError> {
    let token = fields.required::<ResetToken>("token");
    let code = fields.required::<TypedCode>("otp");
    fields.finish()?;
    // A malformed code gets the answer of a wrong one. It is no guess, so it counts as an attempt of neither the request nor
    // the mailbox. It is refused before any look-up, and therefore in the same way for every email.
    let code = code?
        .read(app.config.common.otp_digits)
        .map_err(|_| ApiError::InvalidOtp)?;
    Ok((token?, code))
}

/// Returns the code request of a token, if it has this purpose.
pub async fn find(
    app: &App,
    token: &ResetToken,
    purpose: Purpose,
) -> Result<Option<Reset>, ApiError> {
    let hash = app.token_hasher.hash(token.expose());
    Ok(password_reset::find_by_token(&app.db, &hash, purpose).await?)
}

/// Counts a request, and checks the code of its body as [`check_fields`] does.
pub async fn check(
    app: &App,
    body: Body<'_, OtpCheckRequest>,
    purpose: Purpose,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    app.count_request(audit, Limit::Code).await?;
    check_fields(app, body.read().await?.fields, purpose, audit).await
}

/// Checks the code of the fields `token` and `otp`. Fails with [`ApiError::InvalidOtp`] if it is not the right one for the purpose.
/// The caller has counted the request ([`Limit::Code`]).
pub async fn check_fields(
    app: &App,
    fields: Fields,
    purpose: Purpose,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let (token, code) = parse(app, fields)?;
    let Some(reset) = find(app, &token, purpose).await? else {
        let event = Event {
            detail: detail(purpose),
            ..audit.anonymous(EventKind::CodeFail)
        };
        app.record(event).await?;
        return Err(ApiError::InvalidOtp);
    };
    compare(app, &reset, code, audit).await
}

/// Counts an attempt of the mailbox and one of the request, then compares the code. Both are counted first and atomically, so
/// that parallel guesses gain nothing.
async fn compare(
    app: &App,
    reset: &Reset,
    code: Otp,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let event = |kind| Event {
        user_id: reset.user_id,
        subject: Some(app.audit_subject(&reset.email_key)),
        detail: detail(reset.purpose),
        ..audit.anonymous(kind)
    };
    let (now, max_attempts) = (app.now(), app.config.accounts.max_otp_attempts);
    let mut attempt = None;
    // A request that no code can complete any more takes no attempt from the mailbox. The expiry of the code is checked
    // later: it starts when the mail is sent, and must not show whether one was sent.
    if reset.is_open(now) && reset.checked_at.is_none() && reset.tries < max_attempts {
        let limit = Limit::MailboxCode {
            mailbox: reset.mailbox(),
            has_account: reset.user_id.is_some(),
        };
        attempt = Some(app.count_attempt(audit, limit).await?);
    }
    if attempt.is_none()
        || !password_reset::count_attempt(&app.db, reset.id, max_attempts, now).await?
    {
        app.record(event(EventKind::CodeFail)).await?;
        return Err(ApiError::InvalidOtp);
    }
    let stored = app.codes.find(reset.id).await?;
    // Read for every attempt: a statement more without a code would show whether the email has an account.
    let is_checked = password_reset::is_checked(&app.db, reset.id).await?;
    // Of concurrent right codes the first one is accepted and ends the request. The others were no guesses either.
    let is_late = stored.is_none() && is_checked;
    let is_right = stored.is_some_and(|stored| stored.matches(&code)) && reset.accepts_code(now);
    // On drop, the guard refunds the attempt of a right code.
    if let (false, Some(attempt)) = (is_right || is_late, attempt) {
        attempt.commit();
    }
    if !accept(app, reset, is_right, event, audit).await? {
        tracing::info!(reset.id = %reset.id, "One-time code refused");
        return Err(ApiError::InvalidOtp);
    }
    // The row marks the code as used, so a copy left in Redis is harmless.
    if let Err(error) = app.codes.delete(reset.id).await {
        let message = "Used one-time code not deleted; it will expire";
        app.report_failure(&error.into(), message);
    }
    tracing::info!(reset.id = %reset.id, "One-time code accepted");
    Ok(())
}

/// Applies a right code to the request, and audits the result. Returns whether the code was accepted.
async fn accept(
    app: &App,
    reset: &Reset,
    is_right: bool,
    event: impl Fn(EventKind) -> Event,
    audit: &AuditContext,
) -> Result<bool, ApiError> {
    let transaction = database::begin(&app.db).await?;
    let mut confirmed = Confirmed::default();
    let accepted = is_right
        && match reset.purpose {
            Purpose::Reset => {
                password_reset::mark_checked(&transaction, reset.id, app.now()).await?
            }
            Purpose::Activation => activate(app, &transaction, reset).await?,
            Purpose::EmailChange => {
                let result = email_change::confirm(app, &transaction, reset, audit).await?;
                let is_confirmed = result.is_some();
                confirmed = result.unwrap_or_default();
                is_confirmed
            }
        };
    let kind = match (accepted, reset.purpose) {
        (true, Purpose::Reset) => EventKind::CodeSuccess,
        (true, Purpose::Activation | Purpose::EmailChange) => EventKind::UserUpdated,
        (false, _) => EventKind::CodeFail,
    };
    let mut event = event(kind);
    event.details.changes.extend(confirmed.change);
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    if let Some(notice) = confirmed.notice {
        app.outbox.notify_worker(notice).await;
    }
    Ok(accepted)
}

/// Activates the account of a request. Returns false if it is not pending email verification any more.
async fn activate(app: &App, transaction: &Transaction, reset: &Reset) -> Result<bool, DbErr> {
    let (Some(id), now) = (reset.user_id, app.now()) else {
        return Ok(false);
    };
    // Every change of an account locks its row first.
    let user = user::lock(transaction, id).await?;
    Ok(
        user.is_some_and(|user| reset.is_owned_by(&user) && user.pending_email_verification)
            && password_reset::mark_checked(transaction, reset.id, now).await?
            && password_reset::consume(transaction, reset.id, now).await?
            && user::activate_by_owner(transaction, id, now).await?,
    )
}

/// Returns the detail of an audit event about a code: empty for a password reset.
fn detail(purpose: Purpose) -> Option<String> {
    match purpose {
        Purpose::Reset => None,
        Purpose::Activation => Some("activation".to_owned()),
        Purpose::EmailChange => Some("email confirmation".to_owned()),
    }
}
