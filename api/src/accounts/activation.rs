//! `POST /auth/activate/` and `POST /auth/activate/resend/`: email verification with a one-time code, where `ACTIVATION=email`.
//!
//! Only the person who registered can activate the account, as the calls require the token of the registration. A stranger who
//! registers with another person's email gets no code, and the owner of the mailbox has no token. An owner who has lost the
//! token, or finds the email taken, resets the password, which activates the account, too.

use latchkey_shared::{
    database,
    models::password_reset::{self, Model as Reset, NewReset, Purpose},
    types::email::Email,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json, types::Example};

use crate::{
    app_state::App,
    auth::{
        code_request::CodeRequest,
        jwt::ResetToken,
        one_time_code::{self, Message, OtpCheckRequest},
    },
    config,
    http::{
        audit_context::AuditContext,
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    rate_limit::Limit,
};

/// A request for another activation code.
#[derive(Debug, Object)]
#[oai(rename = "ActivationResend", example)]
struct ResendRequest {
    /// The `activation_token` of the registration or of the last request for another code.
    #[oai(validator(min_length = 1))]
    token: String,
}

impl Example for ResendRequest {
    fn example() -> Self {
        Self {
            token: "the activation_token of the registration".to_owned(),
        }
    }
}

/// The answer to a request for another activation code.
#[derive(Debug, Object)]
struct ActivationRequested {
    /// The token for `/auth/activate/` with the new code. It is useless without the code.
    #[oai(rename = "activation_token", validator(min_length = 1))]
    activation_token: String,
    /// The result, for people.
    message: String,
}

#[derive(ApiResponse)]
enum Requested {
    /// The same for every account.
    #[oai(status = 201)]
    Created(Json<ActivationRequested>),
}

/// The calls with which an owner activates the account.
pub struct Activation;

#[OpenApi]
impl Activation {
    /// Activate your account
    ///
    /// Requires the token of the registration and the code from the email. The code has the expiry and the number of attempts
    /// of a password reset's, and the same answer for wrong, expired, used and unknown codes. A password reset activates
    /// the account, too. 404 unless `ACTIVATION=email`.
    #[oai(
        path = "/auth/activate",
        method = "post",
        operation_id = "activate",
        tag = "Tag::Account"
    )]
    async fn activate(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        body: Body<'_, OtpCheckRequest>,
    ) -> Result<Json<Message>, ErrorResponses<400, 404, 413, 415, 429>> {
        if !is_by_email(app) {
            // A malformed body gets the same answer as in any other call.
            body.read().await?;
            return Err(ApiError::NotFound.into());
        }
        one_time_code::check(app, body, Purpose::Activation, &audit).await?;
        Ok(Json(Message {
            message: "The account has been activated.".to_owned(),
        }))
    }

    /// Request another activation code
    ///
    /// Sends a new code to the email of the registration, unless the account has been activated, and returns the token that belongs to
    /// it. The code of this token no longer works. The answer is the same for every account. Tokens are accepted for 30 days by default.
    /// 404 unless `ACTIVATION=email`.
    #[oai(
        path = "/auth/activate/resend",
        method = "post",
        operation_id = "resendActivation",
        tag = "Tag::Account"
    )]
    async fn resend(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        body: Body<'_, ResendRequest>,
    ) -> Result<Requested, ErrorResponses<400, 404, 413, 415, 429>> {
        if !is_by_email(app) {
            body.read().await?;
            return Err(ApiError::NotFound.into());
        }
        app.count_request(&audit, Limit::CodeRequest).await?;
        let mut fields = body.read().await?.fields;
        let token = fields.required::<ResetToken>("token");
        fields.finish()?;
        let Some(previous) = one_time_code::find(app, &token?, Purpose::Activation).await? else {
            audit.record_invalid_token(app, "activation").await;
            return Err(ApiError::InvalidResetToken.into());
        };
        let token = replace(app, &previous, &audit).await?;
        Ok(Requested::Created(Json(ActivationRequested {
            activation_token: token.expose().to_owned(),
            message: "If the account is not activated yet, a new code is on its way.".to_owned(),
        })))
    }
}

fn is_by_email(app: &App) -> bool {
    app.config.accounts.activation == config::accounts::Activation::Email
}

/// Replaces a code request by a new one for the same account and email, and queues its mail. Does not look up the account: the worker
/// does, and sends no code if the account is activated or the registration was refused.
async fn replace(
    app: &App,
    previous: &Reset,
    audit: &AuditContext,
) -> Result<ResetToken, ApiError> {
    let email = previous.email_key.as_str().parse::<Email>();
    let email = email.map_err(|_| ApiError::Internal("the email key is no email".to_owned()))?;
    let CodeRequest { token, reset, mail } =
        CodeRequest::new(app, Purpose::Activation, &email, audit);
    let (id, now) = (reset.id, reset.created_at);
    let transaction = database::begin(&app.db).await?;
    if !password_reset::supersede(&transaction, previous.id, now).await? {
        return Err(ApiError::InvalidResetToken);
    }
    let reset = NewReset {
        user_id: previous.user_id,
        ..reset
    };
    password_reset::insert(&transaction, reset).await?;
    let mail = mail.insert(&transaction).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(reset.id = %id, "Activation code requested again");
    Ok(token)
}
