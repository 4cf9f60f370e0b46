//! `POST /auth/confirm_email/` and `/auth/confirm_email/resend/`: the owner confirms an email with a one-time code.

use latchkey_shared::{
    database,
    models::password_reset::{self, Purpose},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json, types};

use crate::{
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        email_change,
        one_time_code::{self, Message, OtpCheckRequest},
    },
    http::{
        audit_context::AuditContext,
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// Why no code is sent.
pub const CONFIRMED: &str =
    "The email is confirmed and needs no code. Refresh to get an access token that claims it.";

/// A sent code.
#[derive(Debug, Object)]
struct EmailCodeSent {
    /// Confirms the email, together with the code.
    #[oai(validator(min_length = 1))]
    token: String,
    /// The email that the code was sent to.
    email: types::Email,
    /// `Code sent to email.`
    message: String,
}

#[derive(ApiResponse)]
enum Sent {
    /// The code was sent.
    #[oai(status = 201)]
    Created(Json<EmailCodeSent>),
}

/// The calls that confirm an email.
pub struct EmailConfirmation;

#[OpenApi]
impl EmailConfirmation {
    /// Confirm your email
    ///
    /// Requires the token of the email change, from the header `Email-Confirmation-Token`, and the code from the email. Afterwards
    /// the account has this email, and new access tokens claim `email_verified`. Codes for password resets go to it, a day later
    /// if it was changed without the password. The code has
    /// the expiry and the number of attempts of a password reset's. The answer is the same for wrong, expired, used and
    /// unknown codes, and for an email that another account has.
    #[oai(
        path = "/auth/confirm_email",
        method = "post",
        operation_id = "confirmEmail",
        tag = "Tag::Account"
    )]
    async fn confirm(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        body: Body<'_, OtpCheckRequest>,
    ) -> Result<Json<Message>, ErrorResponses<400, 413, 415, 429>> {
        one_time_code::check(app, body, Purpose::EmailChange, &audit).await?;
        Ok(Json(Message {
            message: "The email has been confirmed.".to_owned(),
        }))
    }

    /// Request another code for your email
    ///
    /// Sends a code to the new email, while its change waits for one, or else to the current email. The earlier code no longer
    /// works. 409 if the email is confirmed.
    #[oai(
        path = "/auth/confirm_email/resend",
        method = "post",
        operation_id = "resendEmailCode",
        tag = "Tag::Account"
    )]
    async fn resend(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Sent, ErrorResponses<401, 403, 409, 429>> {
        email_change::count(app, &current.user, &audit).await?;
        let transaction = database::begin(&app.db).await?;
        let user = current.reauthorize(app, &transaction).await?;
        let pending = password_reset::find_email_change(&transaction, user.id, app.now()).await?;
        let email = match pending.and_then(|request| request.new_email) {
            Some(email) => email,
            None if user.has_confirmed_email() => {
                return Err(ApiError::InvalidState(CONFIRMED).into());
            }
            None => user.email.clone(),
        };
        let current = CurrentUser {
            user,
            session: current.session,
        };
        let requested =
            email_change::request_again(app, &transaction, &current, &email, &audit).await?;
        transaction.commit().await?;
        for mail in requested.mails {
            app.outbox.notify_worker(mail).await;
        }
        Ok(Sent::Created(Json(EmailCodeSent {
            token: requested.token.expose().to_owned(),
            email: types::Email(email.to_string()),
            message: "Code sent to email.".to_owned(),
        })))
    }
}
