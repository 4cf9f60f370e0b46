//! `POST /auth/change_password/`: a new password by somebody who knows the old one.

use latchkey_shared::{
    database,
    models::{audit::EventKind, mail::MailKind, password_reset, session, user},
};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json};
use uuid::Uuid;

use crate::http::tag::Tag;
use crate::{
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        jwt::TokenId,
        login::TokenPair,
    },
    http::{
        audit_context::{AuditContext, of_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
    },
    passwords::{NewPassword, Owner, Password},
};

/// The old password and the new one.
#[derive(Debug, Object)]
#[oai(rename = "PasswordChange")]
struct Wire {
    /// The current password.
    password: String,
    /// 8 to 128 characters; no common one, and none like the account's own data or the name of the service.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

/// See the module.
pub struct PasswordChange;

#[OpenApi]
impl PasswordChange {
    /// Change the own password
    ///
    /// Needs the current password. Every session of the account ends, and a mail tells the owner. A new session takes the
    /// place of this one, with the same end: use the tokens of the answer from now on.
    #[oai(
        path = "/auth/change_password",
        method = "post",
        operation_id = "changePassword",
        tag = "Tag::Account"
    )]
    async fn change(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, Wire>,
    ) -> Result<Json<TokenPair>, ErrorResponses<400, 401, 403, 413, 415, 429>> {
        let limit = app
            .limits
            .check_password_change(current.user.id, app.now())
            .await;
        let mailbox = Some(&current.user.email_key);
        audit
            .audit_if_limited(app, "password change", mailbox, limit)
            .await?;
        let mut fields = body.read().await?.fields;
        let current_password = fields.required::<Password>("password");
        let new = fields.required::<Password>("new_password");
        let owner = Some(Owner::of(&current.user));
        let new = fields
            .judge_password("new_password", new, &app.passwords, owner)
            .await?;
        fields.finish()?;
        let (session, secret) = change(app, &current, current_password?, new?, &audit).await?;
        Ok(Json(TokenPair::of(app, &session, &secret)))
    }
}

/// Changes a password whose owner knows the current one. Returns the session that takes the place of the present one, and
/// the secret of its refresh token.
///
/// # Errors
/// When it is not the current one, was tried too often, or something fails.
pub async fn change(
    app: &App,
    current: &CurrentUser,
    current_password: Password,
    new: NewPassword,
    audit: &AuditContext,
) -> Result<(session::Model, TokenId), ApiError> {
    let limit = app.limits.password_change(current.user.id, app.now()).await;
    let mailbox = Some(&current.user.email_key);
    let guess = audit
        .audit_if_limited(app, "password change", mailbox, limit)
        .await?;
    let stored = Some(current.user.password_hash.as_str());
    let verdict = app.hasher.verify(current_password, stored).await?;
    guess.stands();
    if !verdict.correct {
        let event = audit.own(EventKind::PasswordChangeFail, current.user.id);
        app.record(of_session(event, current.session.id)).await?;
        tracing::info!(
            user.id = current.user.id,
            "Password change refused: wrong current password."
        );
        return Err(ApiError::WrongPassword);
    }
    app.limits.reset_change_failures(current.user.id).await?;
    store(app, current, new, audit).await
}

/// The password, what it ends, and the notice, all or nothing.
async fn store(
    app: &App,
    current: &CurrentUser,
    new: NewPassword,
    audit: &AuditContext,
) -> Result<(session::Model, TokenId), ApiError> {
    let hash = app.hasher.hash(new).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    current.reauthorize(app, &transaction).await?;
    let verified = &current.user.password_hash;
    if !user::change_password(&transaction, current.user.id, verified, hash).await? {
        return Err(ApiError::NotAuthenticated);
    }
    // This session, too: its tokens may have been copied (ASVS 7.2.4).
    session::revoke_all(&transaction, current.user.id, now).await?;
    let (session, secret) = successor(app, &current.session);
    session::insert(&transaction, session.clone()).await?;
    password_reset::end_all(&transaction, current.user.id, now).await?;
    let mail = app
        .outbox
        .insert_notice(
            &transaction,
            MailKind::PasswordChanged,
            &current.user,
            audit.request_id(),
            now,
        )
        .await?;
    let event = audit.own(EventKind::PasswordChange, current.user.id);
    app.record_in(&transaction, of_session(event, current.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id = current.user.id, session.id = %session.id, "Password changed.");
    Ok((session, secret))
}

/// The session of the same device under a new id and a new secret. It ends when the old one would have ended.
fn successor(app: &App, old: &session::Model) -> (session::Model, TokenId) {
    let secret = TokenId::generate();
    let session = session::Model {
        id: Uuid::now_v7(),
        secret_hash: app.token_hasher.hash(secret.expose()),
        last_used_at: app.now(),
        previous_hash: None,
        rotated_at: None,
        ..old.clone()
    };
    (session, secret)
}
