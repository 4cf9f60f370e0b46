//! `POST /auth/activation_request/` and `/auth/activate/`: an owner lets the own account in by a code that is mailed, where
//! `ACTIVATION=email` leaves it to them.

use latchkey_shared::password_reset::Purpose;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, payload::Json};

use crate::{
    app::App,
    audit::Trail,
    body::Body,
    config,
    error::ApiError,
    failure::Failure,
    mailed_code::{self, CheckWire, Message, RequestWire, Requested},
    openapi::Tag,
};

#[derive(ApiResponse)]
enum Created {
    /// Noted, whatever the address.
    #[oai(status = 201)]
    Created(Json<Requested>),
}

/// See the module.
pub struct Activation;

#[OpenApi]
impl Activation {
    /// Ask for another activation code
    ///
    /// With `ACTIVATION=email` a registration sends one by itself; this is for when that ran out or got lost. If an account
    /// with the address waits for its owner, a mail is on its way. The answer is the same for every address. Elsewhere 404.
    #[oai(
        path = "/auth/activation_request",
        method = "post",
        operation_id = "requestActivation",
        tag = "Tag::Account"
    )]
    async fn request(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        body: Body<RequestWire>,
    ) -> Result<Created, Failure<400, 404, 413, 415, 429>> {
        left_to_owners(app)?;
        let token = mailed_code::ask(app, body.fields, Purpose::Activation, &trail).await?;
        Ok(Created::Created(Json(Requested {
            token: token.expose().to_owned(),
            message: "Activation code sent to email.".to_owned(),
        })))
    }

    /// Activate the own account
    ///
    /// With the code from the mail and the token of the registration or the request. It counts as long and may be tried as
    /// often as that of a password reset, and wrong, expired, used and unknown are one answer. Elsewhere than with
    /// `ACTIVATION=email` 404.
    #[oai(
        path = "/auth/activate",
        method = "post",
        operation_id = "activate",
        tag = "Tag::Account"
    )]
    async fn activate(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        body: Body<CheckWire>,
    ) -> Result<Json<Message>, Failure<400, 404, 413, 415, 429>> {
        left_to_owners(app)?;
        mailed_code::check(app, body.fields, Purpose::Activation, &trail).await?;
        Ok(Json(Message {
            message: "The account has been activated.".to_owned(),
        }))
    }
}

fn left_to_owners(app: &App) -> Result<(), ApiError> {
    match app.config.activation {
        config::Activation::Email => Ok(()),
        config::Activation::Admin | config::Activation::None => Err(ApiError::NotFound),
    }
}
