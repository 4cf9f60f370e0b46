//! `POST /auth/second_factor/`, `POST /auth/second_factor/verify/` and `GET /auth/second_factor/`.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        recovery_code, session, totp_secret,
    },
};
use poem::{Request, web::Data};
use poem_openapi::{
    Object, OpenApi,
    payload::{Json, Response},
    types::Example,
};

use crate::{
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        login_response::LoggedIn,
        second_factor::{
            login_step,
            proof::{self, SentFactor},
            recent::RECENT,
        },
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// The second step of a login. Exactly one of `code` and `recovery_code` is required.
#[derive(Debug, Object)]
#[oai(rename = "SecondFactor", example)]
struct SecondFactorRequest {
    /// The `challenge` of the problem `second-factor-required`.
    #[oai(validator(min_length = 1))]
    challenge: String,
    /// The six digits that the authenticator app shows.
    code: Option<String>,
    /// One of the recovery codes.
    recovery_code: Option<String>,
}

impl Example for SecondFactorRequest {
    fn example() -> Self {
        Self {
            challenge: "the challenge of step 1".to_owned(),
            code: Some("123456".to_owned()),
            recovery_code: None,
        }
    }
}

/// A second factor. Exactly one of `code` and `recovery_code` is required.
#[derive(Debug, Object)]
#[oai(rename = "SecondFactorVerification", example)]
struct VerificationRequest {
    /// The six digits that the authenticator app shows.
    code: Option<String>,
    /// One of the recovery codes.
    recovery_code: Option<String>,
}

impl Example for VerificationRequest {
    fn example() -> Self {
        Self {
            code: Some("123456".to_owned()),
            recovery_code: None,
        }
    }
}

/// A verified second factor.
#[derive(Debug, Object)]
struct Verified {
    /// Until when this session needs no further second factor.
    valid_until: DateTime<Utc>,
}

/// The second factors of the account.
#[derive(Debug, Object)]
struct SecondFactors {
    /// Whether a login needs a second factor.
    enabled: bool,
    /// Whether an authenticator app is a factor.
    totp: bool,
    /// The number of unused recovery codes.
    recovery_codes_left: u64,
}

/// The calls that prove a second factor, and list those of the account.
pub struct SecondFactorApi;

#[OpenApi]
impl SecondFactorApi {
    /// Complete a login with a second factor
    ///
    /// The second step of a login to an account with a second factor: `/api/login/` has answered 401 with the problem
    /// `second-factor-required` and a `challenge`, which is valid for 5 minutes and one login. Each code is accepted once.
    #[oai(
        path = "/auth/second_factor",
        method = "post",
        operation_id = "loginWithSecondFactor",
        tag = "Tag::Session"
    )]
    async fn login(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        request: &Request,
        body: Body<'_, SecondFactorRequest>,
    ) -> Result<Response<Json<LoggedIn>>, ErrorResponses<400, 401, 403, 413, 415, 429>> {
        let fields = body.read().await?.fields;
        let login = login_step::prove(app, fields, &audit).await?;
        if !login.user.is_activated {
            return Err(ApiError::NotActivated.into());
        }
        let (session, secret) = login_step::start_session(app, &login, request, &audit).await?;
        Ok(LoggedIn::respond(
            app,
            request,
            (&login.user, &session),
            &secret,
        )?)
    }

    /// Verify your second factor again
    ///
    /// For calls that answer 403 with the problem `recent-second-factor-required`: repeat them within 5 minutes after this call.
    #[oai(
        path = "/auth/second_factor/verify",
        method = "post",
        operation_id = "verifySecondFactor",
        tag = "Tag::SecondFactor"
    )]
    async fn verify(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, VerificationRequest>,
    ) -> Result<Json<Verified>, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        let mut fields = body.read().await?.fields;
        let sent = SentFactor::read(&mut fields);
        fields.finish()?;
        let valid_until = verify(app, &current, sent?, &audit).await?;
        Ok(Json(Verified { valid_until }))
    }

    /// Get the state of your second factors
    ///
    /// Without a factor, `enabled` is false and a login needs the password only.
    #[oai(
        path = "/auth/second_factor",
        method = "get",
        operation_id = "getSecondFactors",
        tag = "Tag::SecondFactor"
    )]
    async fn read(
        &self,
        Data(app): Data<&App>,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Json<SecondFactors>, ErrorResponses<401, 403>> {
        let id = current.user.id;
        Ok(Json(SecondFactors {
            enabled: current.user.second_factor_at.is_some(),
            totp: totp_secret::find_confirmed(&app.db, id).await?.is_some(),
            recovery_codes_left: recovery_code::count_unused(&app.db, id).await?,
        }))
    }
}

/// Verifies a second factor of a logged-in user. Returns until when the session needs no further one.
pub async fn verify(
    app: &App,
    current: &CurrentUser,
    sent: SentFactor,
    audit: &AuditContext,
) -> Result<DateTime<Utc>, ApiError> {
    if current.user.second_factor_at.is_none() {
        return Err(ApiError::NoSecondFactor);
    }
    let event = with_session(
        proof::wrong_factor(&current.user, audit),
        current.session.id,
    );
    let factor = proof::check(app, &current.user, sent, event, audit).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    let user = current.reauthorize(app, &transaction).await?;
    let mail = factor.consume(app, &transaction, &user, audit).await?;
    session::record_second_factor(&transaction, current.session.id, now).await?;
    let event = Event {
        detail: Some(format!("second factor: {}", factor.as_str())),
        ..audit.own(EventKind::CodeSuccess, user.id)
    };
    app.record_in(&transaction, with_session(event, current.session.id))
        .await?;
    transaction.commit().await?;
    if let Some(mail) = mail {
        app.outbox.notify_worker(mail).await;
    }
    tracing::info!(user.id, session.id = %current.session.id, "Second factor verified");
    Ok(now + RECENT)
}
