//! `POST /auth/recovery_codes/`: new recovery codes.

use latchkey_shared::{database, models::mail::MailKind};
use poem::web::Data;
use poem_openapi::{OpenApi, payload::Json};

use crate::{
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        password_change::verify_current,
        second_factor::{
            enrolment,
            totp_api::{PasswordRequest, RecoveryCodes, read_password},
        },
    },
    http::{
        audit_context::AuditContext,
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::CurrentPassword,
};

/// The call that replaces recovery codes.
pub struct RecoveryCodesApi;

#[OpenApi]
impl RecoveryCodesApi {
    /// Replace your recovery codes
    ///
    /// Requires the current password and a second factor of the last 5 minutes (`/auth/second_factor/verify/`). The earlier codes stop
    /// working.
    #[oai(
        path = "/auth/recovery_codes",
        method = "post",
        operation_id = "replaceRecoveryCodes",
        tag = "Tag::SecondFactor"
    )]
    async fn replace(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, PasswordRequest>,
    ) -> Result<Json<RecoveryCodes>, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        let password = read_password(app, &current, body, &audit).await?;
        let recovery_codes = replace(app, &current, password, &audit).await?;
        Ok(Json(RecoveryCodes { recovery_codes }))
    }
}

/// Replaces the recovery codes of an account with a second factor. Returns the new ones.
pub async fn replace(
    app: &App,
    current: &CurrentUser,
    password: CurrentPassword,
    audit: &AuditContext,
) -> Result<Vec<String>, ApiError> {
    verify_current(app, current, password, Some("second factor"), audit).await?;
    let transaction = database::begin(&app.db).await?;
    let user = current
        .reauthorize_with_second_factor(app, &transaction)
        .await?;
    if user.second_factor_at.is_none() {
        return Err(ApiError::NoSecondFactor);
    }
    let codes = enrolment::replace_recovery_codes(app, &transaction, user.id).await?;
    let kind = MailKind::RecoveryCodesReplaced;
    let mail = enrolment::notify(app, &transaction, kind, &user, audit).await?;
    let event = enrolment::own_event(current, "recovery codes replaced", audit);
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id, "Recovery codes replaced");
    Ok(codes)
}
