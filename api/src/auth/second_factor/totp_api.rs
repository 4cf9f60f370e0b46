//! `POST /auth/totp/`, `POST /auth/totp/confirm/` and `POST /auth/totp/disable/`: an authenticator app as second factor.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::TimeDelta;
use latchkey_shared::{
    database,
    models::{mail::MailKind, totp_secret, user},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    payload::Json,
    types::{self, Example},
};

use sea_orm::DbErr;

use crate::{
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        one_time_code::TypedCode,
        password_change::verify_current,
        second_factor::{
            enrolment, proof,
            totp::{self, TotpMatch, TotpSecret},
        },
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::Body,
        error::{ApiError, ClockError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::CurrentPassword,
    rate_limit::Limit,
};

/// How long a new secret can be confirmed.
const CONFIRMATION_PERIOD: TimeDelta = TimeDelta::hours(1);

/// The current password.
#[derive(Debug, Object)]
#[oai(rename = "PasswordConfirmation", example)]
pub struct PasswordRequest {
    /// The current password.
    #[oai(validator(min_length = 1))]
    password: types::Password,
}

impl Example for PasswordRequest {
    fn example() -> Self {
        Self {
            password: types::Password("velvet harbour lantern".to_owned()),
        }
    }
}

/// The first code of a new secret.
#[derive(Debug, Object)]
#[oai(rename = "TotpConfirmation", example)]
struct ConfirmationRequest {
    /// The six digits that the authenticator app shows.
    #[oai(validator(min_length = 1))]
    code: String,
    /// Whether to end the other sessions of the account, which have proved no second factor. False if absent.
    end_other_sessions: Option<bool>,
}

impl Example for ConfirmationRequest {
    fn example() -> Self {
        Self {
            code: "123456".to_owned(),
            end_other_sessions: Some(true),
        }
    }
}

/// A secret for an authenticator app. It has no effect until a code confirms it.
#[derive(Debug, Object)]
pub struct NewTotp {
    /// The secret in base32, to type it into the app.
    pub secret: String,
    /// The secret as an `otpauth://` URI, to open it in the app.
    pub uri: String,
    /// The URI as a QR code: an SVG image.
    pub qr_svg: String,
}

impl NewTotp {
    /// Returns the QR code as a data URL (RFC 2397).
    #[must_use]
    pub fn qr_data_url(&self) -> String {
        format!(
            "data:image/svg+xml;base64,{}",
            BASE64_STANDARD.encode(&self.qr_svg)
        )
    }
}

#[derive(ApiResponse)]
enum Created {
    /// The secret. Confirm it within an hour by a code.
    #[oai(status = 201)]
    Created(Json<NewTotp>),
}

/// Recovery codes, which are shown only now.
#[derive(Debug, Object)]
pub struct RecoveryCodes {
    /// Ten codes. Each replaces another second factor once.
    pub recovery_codes: Vec<String>,
}

#[derive(ApiResponse)]
enum Disabled {
    /// The authenticator app is no second factor any more.
    #[oai(status = 204)]
    Done,
}

/// The calls for an authenticator app as second factor.
pub struct TotpApi;

#[OpenApi]
impl TotpApi {
    /// Set up an authenticator app
    ///
    /// Requires the current password. The answer has a secret for the app, as text, URI and QR code. It replaces an earlier secret that
    /// no code has confirmed.
    #[oai(
        path = "/auth/totp",
        method = "post",
        operation_id = "createTotp",
        tag = "Tag::SecondFactor"
    )]
    async fn create(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, PasswordRequest>,
    ) -> Result<Created, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        let password = read_password(app, &current, body, &audit).await?;
        let totp = create(app, &current, password, &audit).await?;
        Ok(Created::Created(Json(totp)))
    }

    /// Confirm the authenticator app
    ///
    /// From now on, a login needs a code of the app besides the password. The answer has ten recovery codes, which are never shown
    /// again: keep them where you can find them without your device.
    #[oai(
        path = "/auth/totp/confirm",
        method = "post",
        operation_id = "confirmTotp",
        tag = "Tag::SecondFactor"
    )]
    async fn confirm(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, ConfirmationRequest>,
    ) -> Result<Json<RecoveryCodes>, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        let mut fields = body.read().await?.fields;
        let code = fields.required::<TypedCode>("code");
        let end_other_sessions = fields.flag("end_other_sessions");
        fields.finish()?;
        let end_others = end_other_sessions?.unwrap_or_default();
        let recovery_codes = confirm(app, &current, &code?, end_others, &audit).await?;
        Ok(Json(RecoveryCodes { recovery_codes }))
    }

    /// Remove the authenticator app
    ///
    /// Requires the current password and a second factor of the last 5 minutes (`/auth/second_factor/verify/`). The recovery codes go,
    /// too, and a login needs the password only.
    #[oai(
        path = "/auth/totp/disable",
        method = "post",
        operation_id = "disableTotp",
        tag = "Tag::SecondFactor"
    )]
    async fn disable(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, PasswordRequest>,
    ) -> Result<Disabled, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        let password = read_password(app, &current, body, &audit).await?;
        disable(app, &current, password, &audit).await?;
        Ok(Disabled::Done)
    }
}

/// Checks the session's second factor, and reads the field `password`.
pub async fn read_password(
    app: &App,
    current: &CurrentUser,
    body: Body<'_, PasswordRequest>,
    audit: &AuditContext,
) -> Result<CurrentPassword, ApiError> {
    current.check_second_factor(app)?;
    app.check_limit(audit, Limit::PasswordChange(&current.user))
        .await?;
    let mut fields = body.read().await?.fields;
    let password = fields.required::<CurrentPassword>("password");
    fields.finish()?;
    Ok(password?)
}

/// Stores a new secret that a code has to confirm.
pub async fn create(
    app: &App,
    current: &CurrentUser,
    password: CurrentPassword,
    audit: &AuditContext,
) -> Result<NewTotp, ApiError> {
    verify_current(app, current, password, Some("second factor"), audit).await?;
    let secret = TotpSecret::generate();
    let transaction = database::begin(&app.db).await?;
    let user = current
        .reauthorize_with_second_factor(app, &transaction)
        .await?;
    let sealed = (&app.totp_seal, secret.expose());
    if !totp_secret::replace_unconfirmed(&transaction, user.id, sealed, app.now()).await? {
        return Err(ApiError::TotpExists);
    }
    transaction.commit().await?;
    describe(app, &secret, user.email.as_str())
}

/// Returns a secret in the forms that apps take.
fn describe(app: &App, secret: &TotpSecret, account: &str) -> Result<NewTotp, ApiError> {
    let uri = secret.uri(&app.config.common.mail_branding.product, account);
    let failed = |error| ApiError::Internal(format!("the QR code of a TOTP secret: {error}"));
    Ok(NewTotp {
        secret: secret.to_base32(),
        qr_svg: totp::qr_svg(&uri).map_err(failed)?,
        uri,
    })
}

/// Makes the app a second factor of the account if its code is right. Returns the recovery codes.
pub async fn confirm(
    app: &App,
    current: &CurrentUser,
    code: &TypedCode,
    end_other_sessions: bool,
    audit: &AuditContext,
) -> Result<Vec<String>, ApiError> {
    let now = app.now();
    let stored = find_pending(app, current.user.id).await?;
    let stored = stored.ok_or(ApiError::NoPendingTotp)?;
    let step = check_first_code(app, current, &stored, code, audit).await?;
    let transaction = database::begin(&app.db).await?;
    let user = current
        .reauthorize_with_second_factor(app, &transaction)
        .await?;
    if !totp_secret::confirm(&transaction, &stored, step, now).await? {
        return Err(ApiError::NoPendingTotp);
    }
    enrolment::begin(app, &transaction, current, end_other_sessions).await?;
    let codes = enrolment::replace_recovery_codes(app, &transaction, user.id).await?;
    let kind = MailKind::SecondFactorAdded;
    let mail = enrolment::notify(app, &transaction, kind, &user, audit).await?;
    let event = enrolment::own_event(current, "totp added", audit);
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id, "TOTP added");
    Ok(codes)
}

/// Returns the secret of an account that waits for its first code.
async fn find_pending(app: &App, user_id: i64) -> Result<Option<totp_secret::Model>, DbErr> {
    let now = app.now();
    let is_pending = |it: &totp_secret::Model| {
        it.confirmed_at.is_none() && now < it.created_at + CONFIRMATION_PERIOD
    };
    Ok(totp_secret::find(&app.db, user_id)
        .await?
        .filter(is_pending))
}

/// Returns the secret that waits for its first code, in the forms that apps take.
pub async fn pending(app: &App, user: &user::Model) -> Result<Option<NewTotp>, ApiError> {
    match find_pending(app, user.id).await? {
        Some(stored) => describe(app, &proof::open(app, &stored)?, user.email.as_str()).map(Some),
        None => Ok(None),
    }
}

/// Checks the first code of a secret, as a guess at a second factor. Returns its time step.
async fn check_first_code(
    app: &App,
    current: &CurrentUser,
    stored: &totp_secret::Model,
    code: &TypedCode,
    audit: &AuditContext,
) -> Result<i64, ApiError> {
    let attempt = app
        .count_attempt(audit, Limit::SecondFactor(&current.user))
        .await?;
    let now = app.now();
    let matched = match code.read(totp::DIGITS) {
        Ok(code) => proof::open(app, stored)?.check(&code, now, 0),
        Err(_) => TotpMatch::Wrong,
    };
    attempt.commit();
    let clock = match matched {
        TotpMatch::Accepted(step) => {
            app.limits
                .reset_second_factor_failures(current.user.id)
                .await?;
            return Ok(step);
        }
        TotpMatch::ClockWrong(step) => Some(ClockError(totp::clock_error(step, now))),
        TotpMatch::Wrong => None,
    };
    let event = proof::wrong_factor(&current.user, audit);
    app.record(with_session(event, current.session.id)).await?;
    Err(ApiError::InvalidSecondFactor(clock))
}

/// Removes the app from the account's second factors, and with it the recovery codes.
pub async fn disable(
    app: &App,
    current: &CurrentUser,
    password: CurrentPassword,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    verify_current(app, current, password, Some("second factor"), audit).await?;
    let transaction = database::begin(&app.db).await?;
    let user = current
        .reauthorize_with_second_factor(app, &transaction)
        .await?;
    if !enrolment::remove_all(&transaction, &user).await? {
        return Err(ApiError::NoSecondFactor);
    }
    let kind = MailKind::SecondFactorRemoved;
    let mail = enrolment::notify(app, &transaction, kind, &user, audit).await?;
    let event = enrolment::own_event(current, "totp removed", audit);
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id, "TOTP removed");
    Ok(())
}
