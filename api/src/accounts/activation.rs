//! `POST /auth/activate/`: email verification with a one-time code, where `ACTIVATION=email`.
//!
//! Only the person who registered can activate the account, as the call requires the token of the registration. A stranger who
//! registers with another person's email gets no code, and the owner of the mailbox has no token. An owner who has lost the
//! code, or finds the email taken, resets the password, which activates the account, too.

use latchkey_shared::models::password_reset::Purpose;
use poem::web::Data;
use poem_openapi::{OpenApi, payload::Json};

use crate::{
    app_state::App,
    auth::one_time_code::{self, Message, OtpCheckRequest},
    config,
    http::{
        audit_context::AuditContext,
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// The call with which an owner activates the account.
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
        if app.config.accounts.activation != config::accounts::Activation::Email {
            // A malformed body gets the same answer as in any other call.
            body.read().await?;
            return Err(ApiError::NotFound.into());
        }
        one_time_code::check(app, body, Purpose::Activation, &audit).await?;
        Ok(Json(Message {
            message: "The account has been activated.".to_owned(),
        }))
    }
}
