//! `POST /auth/email_request/`, `/auth/check_otp/` and `/auth/reset_password/`: the three steps of a password reset.

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
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    payload::Json,
    types::{self, Example},
};

use crate::{
    app_state::App,
    auth::{
        code_request::CodeRequest,
        email_change,
        jwt::ResetToken,
        one_time_code::{self, Message, OtpCheckRequest},
    },
    http::{
        audit_context::AuditContext,
        body::{Body, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::{Owner, Password},
    rate_limit::Limit,
};

/// The account whose password is to be reset.
#[derive(Debug, Object)]
#[oai(rename = "ResetRequest", example)]
struct EmailRequest {
    /// The email of the account.
    #[oai(validator(max_length = 254))]
    email: types::Email,
}

impl Example for EmailRequest {
    fn example() -> Self {
        Self {
            email: types::Email("ada@example.com".to_owned()),
        }
    }
}

/// The new password of a reset.
#[derive(Debug, Object)]
#[oai(rename = "PasswordReset", example)]
struct PasswordResetRequest {
    /// The token of step 1, after its code was checked.
    #[oai(validator(min_length = 1))]
    token: String,
    /// 8 to 128 characters; neither a common password nor similar to the account's data or the service's name.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: types::Password,
}

impl Example for PasswordResetRequest {
    fn example() -> Self {
        Self {
            token: "the token of step 1".to_owned(),
            new_password: types::Password("another quiet morning".to_owned()),
        }
    }
}

/// A started password reset.
#[derive(Debug, Object)]
struct ResetRequested {
    /// Identifies the reset in the next two steps. It is useless without the code.
    #[oai(validator(min_length = 1))]
    token: String,
    /// `Password reset link sent to email.`
    message: String,
}

#[derive(ApiResponse)]
enum Requested {
    /// The same for every email.
    #[oai(status = 201)]
    Created(Json<ResetRequested>),
}

/// The calls of the three steps.
pub struct PasswordReset;

#[OpenApi]
impl PasswordReset {
    /// 1. Request a code
    ///
    /// Sends a one-time code to the email if it has an account. The answer is the same for every email.
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
        app.count_request(&audit, Limit::CodeRequest).await?;
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
    /// A code expires 5 minutes after its email was sent, and at most 10 minutes after its request. 5 wrong attempts end the
    /// reset. The answer is the same for wrong, expired, used and unknown codes.
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
    /// Works once, after the code was checked. Ends every session and every other reset of the account, and notifies the owner
    /// by email. Activates an account that is pending email verification (`ACTIVATION=email`).
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
        app.count_request(&audit, Limit::PasswordReset).await?;
        let (token, password) = parse_reset(body.read().await?.fields)?;
        let reset = one_time_code::find(app, &token, Purpose::Reset).await?;
        let Some(reset) = reset.filter(|reset| reset.accepts_password(app.now())) else {
            audit.record_invalid_token(app, "reset").await;
            return Err(ApiError::InvalidResetToken.into());
        };
        finish(app, &reset, password, &audit).await?;
        Ok(Json(Message {
            message: "The Password has been reset successfully.".to_owned(),
        }))
    }
}

/// Reads the fields of step 3. The password is judged later, and only if the token is valid.
fn parse_reset(mut fields: Fields) -> Result<(ResetToken, Password), ApiError> {
    let token = fields.required::<ResetToken>("token");
    let password = fields.required::<Password>("new_password");
    fields.finish()?;
    Ok((token?, password?))
}

/// Stores the reset and queues its mail. The worker looks the email up, so that the response time does not depend on it.
pub async fn start(app: &App, email: &Email, audit: &AuditContext) -> Result<ResetToken, ApiError> {
    let CodeRequest { token, reset, mail } = CodeRequest::new(app, Purpose::Reset, email, audit);
    let id = reset.id;
    let transaction = database::begin(&app.db).await?;
    password_reset::insert(&transaction, reset).await?;
    let mail = mail.insert(&transaction).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(reset.id = %id, "Password reset requested");
    Ok(token)
}

/// Checks, hashes and sets the new password. The caller has checked [`Reset::accepts_password`].
pub async fn finish(
    app: &App,
    reset: &Reset,
    password: Password,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let user = find_owner(app, reset).await?;
    let password = app
        .passwords
        .accept(password, Owner::of(&user))
        .await?
        .map_err(|invalid| ApiError::invalid_field("new_password", invalid))?;
    let hash = app.hasher.hash(password).await?;
    let user = store(app, reset, user.id, hash, audit).await?;
    // The owner has shown access to the mailbox, so failed attempts by others must not lock the account.
    for email in user.emails(app.now()) {
        let reset_failures = app
            .limits
            .reset_all_failures(audit.client_ip, user.id, email);
        if let Err(error) = reset_failures.await {
            let message = "Failed attempts not cleared after a password reset";
            app.report_failure(&error, message);
        }
    }
    tracing::info!(user.id, reset.id = %reset.id, "Password reset");
    Ok(())
}

/// Stores the password hash, ends sessions and password resets, and queues the notice, in one transaction. Returns the account.
async fn store(
    app: &App,
    reset: &Reset,
    user_id: i64,
    hash: String,
    audit: &AuditContext,
) -> Result<user::Model, ApiError> {
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    // Every change of an account locks its row first.
    let user = user::lock(&transaction, user_id)
        .await?
        .filter(|user| reset.is_owned_by(user))
        .ok_or(ApiError::InvalidResetToken)?;
    if !password_reset::consume(&transaction, reset.id, now).await? {
        return Err(ApiError::InvalidResetToken);
    }
    session::revoke_all(&transaction, user.id, now).await?;
    password_reset::end_all(&transaction, user.id, now).await?;
    user::reset_password(&transaction, user.id, hash).await?;
    let previous = user.email_key.clone();
    let user = email_change::confirm_by_reset(app, &transaction, user, reset).await?;
    let restored = user.email_key != previous;
    // The owner has the mailbox and knows the password, which also completes a pending email verification.
    let activated = user::activate_by_owner(&transaction, user.id, now).await?;
    let notice = async |kind| {
        let (db, id) = (&transaction, audit.request_id());
        app.outbox.insert_notice(db, kind, &user, id, now).await
    };
    let mut mails = vec![notice(MailKind::PasswordChanged).await?];
    if restored {
        mails.push(notice(MailKind::EmailRestored).await?);
    }
    let detail = match (activated, restored) {
        (true, _) => "reset, activation",
        (false, true) => "reset, email restored",
        (false, false) => "reset",
    };
    let event = Event {
        user_id: Some(user.id),
        detail: Some(detail.to_owned()),
        ..audit.anonymous(EventKind::PasswordChange)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    for mail in mails {
        app.outbox.notify_worker(mail).await;
    }
    Ok(user)
}

/// Returns the active account of a reset, if it still has the email.
async fn find_owner(app: &App, reset: &Reset) -> Result<user::Model, ApiError> {
    let user = match reset.user_id {
        Some(id) => user::find(&app.db, id).await?,
        None => None,
    };
    user.filter(|user| reset.is_owned_by(user))
        .ok_or(ApiError::InvalidResetToken)
}
