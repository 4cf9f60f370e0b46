//! A code that is mailed, and given back. What it opens is its purpose: the way to a new password (`password_reset`), or the
//! account itself (`activation`).

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::{Event, EventKind},
        password_reset::{self, Model as Reset, NewReset, Purpose},
        user,
    },
    outbox::NewMail,
    redis::one_time_code::Otp,
    types::{email::Email, validation_error::Invalid},
};
use poem_openapi::{Object, types::Example};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{
    app_state::App,
    auth::jwt::ResetToken,
    http::{
        audit_context::AuditContext,
        body::{
            Body,
            fields::{Fields, FromField},
        },
        error::ApiError,
    },
};

/// The code from the mail.
#[derive(Debug, Object)]
#[oai(rename = "OtpCheck", example)]
pub struct OtpCheckRequest {
    /// The token of the request.
    token: String,
    /// The digits from the mail, of any script, also with blanks or hyphens between them, or as a number.
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

/// A step that was taken.
#[derive(Debug, Object)]
pub struct Message {
    /// What was done.
    pub message: String,
}

/// A code as it was sent.
enum TypedCode {
    Text(String),
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
    fn read(&self, digits: u32) -> Result<Otp, Invalid> {
        match self {
            Self::Text(text) => Otp::from_typed(text, digits),
            Self::Number(number) => Otp::from_number(number, digits),
        }
    }
}

/// The form of a check: the token of the request and the code.
fn parse(app: &App, mut fields: Fields) -> Result<(ResetToken, Otp), ApiError> {
    let token = fields.required::<ResetToken>("token");
    let code = fields.required::<TypedCode>("otp");
    fields.finish()?;
    // A text that cannot be a code is answered like a wrong code and takes no try, neither of the request nor of the
    // mailbox: nobody guesses with it. It is refused before either is looked up, and so for every address alike.
    let code = code?
        .read(app.config.common.otp_digits)
        .map_err(|_| ApiError::InvalidOtp)?;
    Ok((token?, code))
}

/// A request for a code, with the mail that carries it.
pub struct CodeRequest {
    /// What the client is told of it.
    pub token: ResetToken,
    /// Its row and its mail, to be written in one step.
    pub written: (NewReset, NewMail),
}

impl CodeRequest {
    /// A new one.
    #[must_use]
    pub fn new(app: &App, purpose: Purpose, email: &Email, audit: &AuditContext) -> Self {
        let (id, token, now) = (Uuid::now_v7(), ResetToken::generate(), app.now());
        let lifetime = app.config.reset;
        let row = NewReset {
            id,
            email: email.key(),
            token_hash: app.token_hasher.hash(token.expose()),
            created_at: now,
            lifetime,
            purpose,
        };
        let mail = app
            .outbox
            .code(id, purpose, email, audit.request_id(), now, lifetime)
            .with_client_network(audit.client_ip.network());
        Self {
            token,
            written: (row, mail),
        }
    }
}

/// The request for this purpose that a token belongs to.
///
/// # Errors
/// When the database fails.
pub async fn find(
    app: &App,
    token: &ResetToken,
    purpose: Purpose,
) -> Result<Option<Reset>, ApiError> {
    let hash = app.token_hasher.hash(token.expose());
    Ok(password_reset::find_by_token(&app.db, &hash, purpose).await?)
}

/// Checks a code that was given for a purpose.
///
/// # Errors
/// When it is not the right one, or was tried too often.
pub async fn check(
    app: &App,
    body: Body<'_, OtpCheckRequest>,
    purpose: Purpose,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let limit = app.limits.code(audit.client_ip, app.now()).await;
    audit.audit_if_limited(app, "code", None, limit).await?;
    let (token, code) = parse(app, body.read().await?.fields)?;
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

/// Takes a try of the mailbox and one of the reset, then compares. Both are taken first and each by one step, so guessing
/// in parallel gains nothing.
async fn compare(
    app: &App,
    reset: &Reset,
    code: Otp,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let event = |kind| Event {
        user_id: reset.user_id,
        subject: Some(app.subject_of(&reset.email_key)),
        detail: detail(reset.purpose),
        ..audit.anonymous(kind)
    };
    let (now, tries) = (app.now(), app.config.otp_tries);
    let mut guess = None;
    // What cannot be right is no guess: whoever has used a request up takes none from the mailbox with it. Whether its code
    // has run out counts only after that: only a code that was sent does, and nobody is told whether it was.
    if reset.is_open(now) && reset.checked_at.is_none() && reset.tries < tries {
        let mailbox = &reset.email_key;
        let has_account = reset.user_id.is_some();
        let limit = app
            .limits
            .code_of(audit.client_ip, mailbox, has_account, now);
        let (limit, mailbox) = (limit.await, Some(mailbox));
        guess = Some(audit.audit_if_limited(app, "code", mailbox, limit).await?);
    }
    if guess.is_none() || !password_reset::count_attempt(&app.db, reset.id, tries, now).await? {
        app.record(event(EventKind::CodeFail)).await?;
        return Err(ApiError::InvalidOtp);
    }
    let stored = app.codes.find(reset.id).await?;
    // Of right codes sent at once one is accepted, and ends the code. What comes after it could not be right, so it was no guess.
    let is_late = stored.is_none() && password_reset::is_checked(&app.db, reset.id).await?;
    let right = stored.is_some_and(|stored| stored.matches(&code)) && reset.accepts_code(now);
    // The right code was no wrong one; dropped, its try is given back.
    if let (false, Some(guess)) = (right || is_late, guess) {
        guess.stands();
    }
    let transaction = database::begin(&app.db).await?;
    let accepted = right
        && match reset.purpose {
            Purpose::Reset => password_reset::mark_checked(&transaction, reset.id, now).await?,
            Purpose::Activation => activate(app, &transaction, reset).await?,
        };
    let kind = match (accepted, reset.purpose) {
        (true, Purpose::Reset) => EventKind::CodeSuccess,
        (true, Purpose::Activation) => EventKind::UserUpdated,
        (false, _) => EventKind::CodeFail,
    };
    app.record_in(&transaction, event(kind)).await?;
    transaction.commit().await?;
    if !accepted {
        tracing::info!(reset.id = %reset.id, "One-time code refused.");
        return Err(ApiError::InvalidOtp);
    }
    // The row says that the code is used. Should Redis keep it a little longer, it opens nothing.
    if let Err(error) = app.codes.forget(reset.id).await {
        tracing::warn!(reset.id = %reset.id, %error, "A used one-time code was left to expire by itself.");
    }
    tracing::info!(reset.id = %reset.id, "One-time code accepted.");
    Ok(())
}

/// Lets an account in whose owner has shown the code. False when it does not wait for that any more.
async fn activate(app: &App, transaction: &Transaction, reset: &Reset) -> Result<bool, DbErr> {
    let (Some(id), now) = (reset.user_id, app.now()) else {
        return Ok(false);
    };
    // Held first, as by whatever else changes an account, and still with the address that the code went to.
    let held = user::lock(transaction, id).await?;
    Ok(
        held.is_some_and(|user| is_owner(&user, reset) && user.pending_email_verification)
            && password_reset::mark_checked(transaction, reset.id, now).await?
            && password_reset::consume(transaction, reset.id, now).await?
            && user::activate_by_owner(transaction, id, now).await?,
    )
}

/// What the audit log says of a code that opens something else than the way to a new password.
fn detail(purpose: Purpose) -> Option<String> {
    (purpose == Purpose::Activation).then(|| "activation".to_owned())
}

/// Whether an account is open and still has the address that a code went to.
#[must_use]
pub fn is_owner(user: &user::Model, reset: &Reset) -> bool {
    user.is_active && user.email_key == reset.email_key
}
