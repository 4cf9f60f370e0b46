//! `POST /auth/activate/`: an owner lets the own account in by the code that registration mailed, where `ACTIVATION=email`
//! leaves it to them.
//!
//! It takes the token of the registration, so that the code lets in nobody but whoever chose the password: a stranger who
//! registers with an address gets no code, and its owner has no token of theirs. Who has lost the code, or finds the address
//! taken, sets a new password by mail, which lets in, too.

use latchkey_shared::models::password_reset::Purpose;
use poem::web::Data;
use poem_openapi::{OpenApi, payload::Json};

use crate::http::tag::Tag;
use crate::{
    app_state::App,
    auth::one_time_code::{self, Message, OtpCheckRequest},
    config,
    http::{
        audit_context::AuditContext,
        body::Body,
        error::{ApiError, responses::ErrorResponses},
    },
};

/// See the module.
pub struct Activation;

#[OpenApi]
impl Activation {
    /// Activate the own account
    ///
    /// With `ACTIVATION=email`: with the token of the registration and the code that it mailed. That counts as long and may be
    /// tried as often as the code of a password reset, and wrong, expired, used and unknown are one answer. Who has lost it
    /// resets the password, which activates, too. Elsewhere 404.
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
        if app.config.activation != config::Activation::Email {
            // A body that is at fault is answered like one of any other call.
            body.read().await?;
            return Err(ApiError::NotFound.into());
        }
        one_time_code::check(app, body, Purpose::Activation, &audit).await?;
        Ok(Json(Message {
            message: "The account has been activated.".to_owned(),
        }))
    }
}
