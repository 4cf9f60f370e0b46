//! `POST /auth/email_request/`, `/auth/check_otp/` and `/auth/reset_password/`: the three steps of a forgotten password.

use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        password_reset::{self, Model as Reset, Purpose},
        session, user,
    },
    types::email::Email,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json, types::Example};

use crate::http::tag::Tag;
use crate::{
    app_state::App,
    auth::{
        jwt::ResetToken,
        one_time_code::{self, CodeRequest, Message, OtpCheckRequest, is_owner},
    },
    http::{
        audit_context::AuditContext,
        body::{Body, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
    },
    passwords::{Owner, Password},
};

/// Whose password was forgotten.
#[derive(Debug, Object)]
#[oai(rename = "ResetRequest", example)]
struct EmailRequest {
    /// The address of the account.
    #[oai(validator(max_length = 254))]
    email: String,
}

impl Example for EmailRequest {
    fn example() -> Self {
        Self {
            email: "ada@example.com".to_owned(),
        }
    }
}

/// The new password.
#[derive(Debug, Object)]
#[oai(rename = "PasswordReset", example)]
struct PasswordResetRequest {
    /// The token of the request, whose code was checked.
    token: String,
    /// 8 to 128 characters; no common one, and none like the account's own data or the name of the service.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

impl Example for PasswordResetRequest {
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
        audit: AuditContext,
        body: Body<'_, EmailRequest>,
    ) -> Result<Requested, ErrorResponses<400, 413, 415, 429>> {
        let limit = app.limits.reset_request(audit.client_ip, app.now()).await;
        audit
            .audit_if_limited(app, "request for a code", None, limit)
            .await?;
        let mut fields = body.read().await?.fields;
        let email = fields.required::<Email>("email");
        fields.finish()?;
        let email = email?;
        let token = start(app, &email, &audit).await?;
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
        audit: AuditContext,
        body: Body<'_, OtpCheckRequest>,
    ) -> Result<Json<Message>, ErrorResponses<400, 413, 415, 429>> {
        one_time_code::check(app, body, Purpose::Reset, &audit).await?;
        Ok(Json(Message {
            message: "OTP is valid.".to_owned(),
        }))
    }

    /// 3. Set the new password
    ///
    /// Works once, after the code was checked. Every session of the account ends, every other reset of it, too, and a
    /// mail tells the owner. An account that waits for its owner (`ACTIVATION=email`) is let in.
    #[oai(
        path = "/auth/reset_password",
        method = "post",
        operation_id = "resetPassword",
        tag = "Tag::Reset"
    )]
    async fn reset_password(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        body: Body<'_, PasswordResetRequest>,
    ) -> Result<Json<Message>, ErrorResponses<400, 413, 415, 429>> {
        let limit = app.limits.reset_password(audit.client_ip, app.now()).await;
        audit
            .audit_if_limited(app, "new password", None, limit)
            .await?;
        let (token, password) = parse_reset(body.read().await?.fields)?;
        let reset = one_time_code::find(app, &token, Purpose::Reset).await?;
        let Some(reset) = reset.filter(|reset| reset.accepts_password(app.now())) else {
            audit.bad_token(app, "reset").await;
            return Err(ApiError::InvalidResetToken.into());
        };
        finish(app, &reset, password, &audit).await?;
        Ok(Json(Message {
            message: "The Password has been reset successfully.".to_owned(),
        }))
    }
}

/// Reads the form of a reset. The password is judged later, for an account whose token opens something.
fn parse_reset(mut fields: Fields) -> Result<(ResetToken, Password), ApiError> {
    let token = fields.required::<ResetToken>("token");
    let password = fields.required::<Password>("new_password");
    fields.finish()?;
    Ok((token?, password?))
}

/// Notes the request and its mail. Nobody looks the address up here: the worker does, where nobody can measure it.
async fn start(app: &App, email: &Email, audit: &AuditContext) -> Result<ResetToken, ApiError> {
    let CodeRequest { token, written } = CodeRequest::new(app, Purpose::Reset, email, audit);
    let (reset, mail) = written;
    let id = reset.id;
    let transaction = database::begin(&app.db).await?;
    password_reset::insert(&transaction, reset).await?;
    let mail = mail.insert(&transaction).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(reset.id = %id, "Password reset asked for.");
    Ok(token)
}

/// Sets the password, ends what it ends, and writes the notice, all or nothing.
async fn finish(
    app: &App,
    reset: &Reset,
    password: Password,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let user = owner(app, reset)
        .await?
        .ok_or(ApiError::InvalidResetToken)?;
    let password = app
        .passwords
        .accept(password, Owner::of(&user))
        .await?
        .map_err(|invalid| ApiError::invalid_field("new_password", invalid))?;
    let hash = app.hasher.hash(password).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    // Held first, as by whatever else changes an account, and still with the address that the code went to.
    let held = user::lock(&transaction, user.id).await?;
    let mut user = held
        .filter(|held| is_owner(held, reset))
        .ok_or(ApiError::InvalidResetToken)?;
    if !password_reset::consume(&transaction, reset.id, now).await? {
        return Err(ApiError::InvalidResetToken);
    }
    user::reset_password(&transaction, user.id, hash, now).await?;
    user.email_verified_at = Some(now);
    // Whoever reads the mailbox and knows the password lets the account in that waits for its owner.
    let activate = user::activate_by_owner(&transaction, user.id, now).await?;
    session::revoke_all(&transaction, user.id, now).await?;
    password_reset::end_all(&transaction, user.id, now).await?;
    let mail = app
        .outbox
        .insert_notice(
            &transaction,
            MailKind::PasswordChanged,
            &user,
            audit.request_id(),
            now,
        )
        .await?;
    let event = Event {
        user_id: Some(user.id),
        detail: Some(
            if activate {
                "reset, activation"
            } else {
                "reset"
            }
            .to_owned(),
        ),
        ..audit.anonymous(EventKind::PasswordChange)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    // Whoever reads the mailbox is the owner: wrong guesses, whosever they were, stand in the way no more.
    if let Err(error) = app
        .limits
        .reset_all_failures(audit.client_ip, user.id, &user.email)
        .await
    {
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
