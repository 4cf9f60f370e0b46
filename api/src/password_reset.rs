//! `POST /auth/email_request/`, `/auth/check_otp/` and `/auth/reset_password/`: the three steps of a forgotten password.

use latchkey_shared::{
    audit::{Event, EventKind},
    database,
    email::Email,
    mail::MailKind,
    one_time_code::Otp,
    password_reset::{self, Model as Reset, NewReset},
    session, user,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json, types::Example};
use uuid::Uuid;

use crate::{
    app::App,
    audit::Trail,
    body::Body,
    error::ApiError,
    failure::Failure,
    fields::Fields,
    openapi::Tag,
    password::{Owner, Password},
    token::ResetToken,
};

/// Whose password was forgotten.
#[derive(Debug, Object)]
#[oai(rename = "ResetRequest", example)]
struct RequestWire {
    /// The address of the account.
    #[oai(validator(max_length = 254))]
    email: String,
}

impl Example for RequestWire {
    fn example() -> Self {
        Self {
            email: "ada@example.com".to_owned(),
        }
    }
}

/// The code from the mail.
#[derive(Debug, Object)]
#[oai(rename = "OtpCheck", example)]
struct CheckWire {
    /// The token of the request.
    token: String,
    /// The digits from the mail.
    otp: String,
}

impl Example for CheckWire {
    fn example() -> Self {
        Self {
            token: "the token of step 1".to_owned(),
            otp: "123456".to_owned(),
        }
    }
}

/// The new password.
#[derive(Debug, Object)]
#[oai(rename = "PasswordReset", example)]
struct ResetWire {
    /// The token of the request, whose code was checked.
    token: String,
    /// 8 to 128 characters; no common one, and none like the account's own data.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

impl Example for ResetWire {
    fn example() -> Self {
        Self {
            token: "the token of step 1".to_owned(),
            new_password: "another quiet morning".to_owned(),
        }
    }
}

/// A request that was noted.
#[derive(Debug, Object)]
struct ResetRequested {
    /// Names this request in the next two steps. It opens nothing without the code.
    token: String,
    /// `Password reset link sent to email.`
    message: String,
}

/// A step that was taken.
#[derive(Debug, Object)]
struct Message {
    /// What was done.
    message: String,
}

#[derive(ApiResponse)]
enum Requested {
    /// Noted, whatever the address.
    #[oai(status = 201)]
    Created(Json<ResetRequested>),
}

/// See the module.
pub struct PasswordReset;

#[OpenApi]
impl PasswordReset {
    /// 1. Ask for a code
    ///
    /// If the address has an account, a mail with a one-time code is on its way. The answer is the same for every
    /// address.
    #[oai(
        path = "/auth/email_request",
        method = "post",
        operation_id = "requestReset",
        tag = "Tag::Reset"
    )]
    async fn email_request(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        body: Body<RequestWire>,
    ) -> Result<Requested, Failure<400, 413, 415, 429>> {
        let mut fields = body.fields;
        let email = fields.required::<Email>("email");
        fields.finish()?;
        let email = email?;
        let limit = app
            .limits
            .reset_request(trail.peer, &email, app.now())
            .await;
        trail
            .limited(app, "request for a code", Some(&email.key()), limit)
            .await?;
        let token = start(app, &email, &trail).await?;
        Ok(Requested::Created(Json(ResetRequested {
            token: token.expose().to_owned(),
            message: "Password reset link sent to email.".to_owned(),
        })))
    }

    /// 2. Check the code
    ///
    /// A code counts for 5 minutes from the moment its mail was sent, and at most 10 from its request. After 5 wrong
    /// tries the request is over. Wrong, expired, used and unknown are one answer.
    #[oai(
        path = "/auth/check_otp",
        method = "post",
        operation_id = "checkOtp",
        tag = "Tag::Reset"
    )]
    async fn check_otp(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        body: Body<CheckWire>,
    ) -> Result<Json<Message>, Failure<400, 413, 415, 429>> {
        let (token, code) = parse_check(body.fields)?;
        let limit = app.limits.code(trail.peer, app.now()).await;
        trail.limited(app, "code", None, limit).await?;
        let Some(reset) = find(app, &token).await? else {
            app.note(trail.anonymous(EventKind::CodeFail)).await?;
            return Err(ApiError::InvalidOtp.into());
        };
        check(app, &reset, code, &trail).await?;
        Ok(Json(Message {
            message: "OTP is valid.".to_owned(),
        }))
    }

    /// 3. Set the new password
    ///
    /// Works once, after the code was checked. Every session of the account ends, every other reset of it, too, and a
    /// mail tells the owner.
    #[oai(
        path = "/auth/reset_password",
        method = "post",
        operation_id = "resetPassword",
        tag = "Tag::Reset"
    )]
    async fn reset_password(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        body: Body<ResetWire>,
    ) -> Result<Json<Message>, Failure<400, 413, 415>> {
        let (token, password) = parse_reset(body.fields)?;
        let reset = find(app, &token).await?;
        let Some(reset) = reset.filter(|reset| reset.takes_password(app.now())) else {
            trail.bad_token(app, "reset").await;
            return Err(ApiError::InvalidResetToken.into());
        };
        finish(app, &reset, password, &trail).await?;
        Ok(Json(Message {
            message: "The Password has been reset successfully.".to_owned(),
        }))
    }
}

fn parse_check(mut fields: Fields) -> Result<(ResetToken, Otp), ApiError> {
    let token = fields.required::<ResetToken>("token");
    let code = fields.required::<String>("otp");
    fields.finish()?;
    // What is no code at all is a wrong code: the answer tells nothing about how codes look.
    let code = code?.parse().map_err(|_| ApiError::InvalidOtp)?;
    Ok((token?, code))
}

fn parse_reset(mut fields: Fields) -> Result<(ResetToken, Password), ApiError> {
    let token = fields.required::<ResetToken>("token");
    let password = fields
        .required::<Password>("new_password")
        .and_then(|password| match password.check() {
            Ok(()) => Ok(password),
            Err(invalid) => Err(fields.note("new_password", invalid)),
        });
    fields.finish()?;
    Ok((token?, password?))
}

/// Notes the request and its mail. Nobody looks the address up here: the worker does, where nobody can measure it.
async fn start(app: &App, email: &Email, trail: &Trail) -> Result<ResetToken, ApiError> {
    let (id, token, now) = (Uuid::now_v7(), ResetToken::generate(), app.now());
    let lifetime = app.config.reset;
    let reset = NewReset {
        id,
        email: email.key(),
        token_hash: app.token_hasher.hash(token.expose()),
        created_at: now,
        lifetime,
    };
    let mail = app
        .outbox
        .reset_code(id, email, trail.request_id(), now, lifetime);
    let mail = app.reset_requests.note(reset, mail).await?;
    app.outbox.wake(mail).await;
    tracing::info!(reset.id = %id, "Password reset asked for.");
    Ok(token)
}

async fn find(app: &App, token: &ResetToken) -> Result<Option<Reset>, ApiError> {
    Ok(password_reset::find_by_token(&app.db, &app.token_hasher.hash(token.expose())).await?)
}

/// Takes a try of the mailbox and one of the reset, then compares. Both are taken first and each by one step, so guessing
/// in parallel gains nothing.
async fn check(app: &App, reset: &Reset, code: Otp, trail: &Trail) -> Result<(), ApiError> {
    let event = |kind| Event {
        user_id: reset.user_id,
        subject: Some(app.subject_of(&reset.email_key)),
        ..trail.anonymous(kind)
    };
    let (now, tries) = (app.now(), app.config.otp_tries);
    let mut guess = None;
    // What cannot be right is no guess: whoever has used a request up takes none from the mailbox with it.
    if reset.takes_code(now) && reset.tries < tries {
        let limit = app.limits.code_of(&reset.email_key, now).await;
        let mailbox = Some(&reset.email_key);
        guess = Some(trail.limited(app, "code", mailbox, limit).await?);
    }
    if guess.is_none() || !password_reset::take_try(&app.db, reset.id, tries, now).await? {
        app.note(event(EventKind::CodeFail)).await?;
        return Err(ApiError::InvalidOtp);
    }
    let right = app
        .codes
        .find(reset.id)
        .await?
        .is_some_and(|stored| stored.matches(&code));
    // The right code was no wrong one; dropped, its try is given back.
    if let (false, Some(guess)) = (right, guess) {
        guess.stands();
    }
    let transaction = database::begin(&app.db).await?;
    let accepted = right && password_reset::mark_checked(&transaction, reset.id, now).await?;
    let kind = if accepted {
        EventKind::CodeSuccess
    } else {
        EventKind::CodeFail
    };
    app.note_in(&transaction, event(kind)).await?;
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

/// Sets the password, ends what it ends, and writes the notice, all or nothing.
async fn finish(
    app: &App,
    reset: &Reset,
    password: Password,
    trail: &Trail,
) -> Result<(), ApiError> {
    let user = owner(app, reset)
        .await?
        .ok_or(ApiError::InvalidResetToken)?;
    let password = password
        .accept_for(Owner::of(&user))
        .map_err(|invalid| ApiError::invalid_field("new_password", invalid))?;
    let hash = app.hasher.hash(password).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    // Held first, as by whatever else changes an account, and still with the address that the code went to.
    if !user::hold(&transaction, user.id)
        .await?
        .is_some_and(|now| is_owner(&now, reset))
    {
        return Err(ApiError::InvalidResetToken);
    }
    if !password_reset::use_up(&transaction, reset.id, now).await? {
        return Err(ApiError::InvalidResetToken);
    }
    user::set_password(&transaction, user.id, hash).await?;
    session::revoke_all(&transaction, user.id, now).await?;
    password_reset::end_all(&transaction, user.id, now).await?;
    let mail = app
        .outbox
        .write_notice(
            &transaction,
            MailKind::PasswordChanged,
            &user,
            trail.request_id(),
            now,
        )
        .await?;
    let event = Event {
        user_id: Some(user.id),
        detail: Some("reset".to_owned()),
        ..trail.anonymous(EventKind::PasswordChange)
    };
    app.note_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.wake(mail).await;
    // Whoever reads the mailbox is the owner: wrong guesses, whosever they were, stand in the way no more.
    if let Err(error) = app.limits.forgive_all(user.id, &user.email).await {
        tracing::warn!(user.id, %error, "What was guessed wrong was not forgiven after a reset.");
    }
    tracing::info!(user.id, reset.id = %reset.id, "Password reset.");
    Ok(())
}

/// The account of a reset, if it is open and still has the address that the code went to.
async fn owner(app: &App, reset: &Reset) -> Result<Option<user::Model>, ApiError> {
    let Some(id) = reset.user_id else {
        return Ok(None);
    };
    let user = user::find(&app.db, id).await?;
    Ok(user.filter(|user| is_owner(user, reset)))
}

fn is_owner(user: &user::Model, reset: &Reset) -> bool {
    user.is_active && user.email_key == reset.email_key
}
