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
        bearer::{ActivatedUser, SignedIn},
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
        trail: AuditContext,
        ActivatedUser(me): ActivatedUser,
        body: Body<'_, Wire>,
    ) -> Result<Json<TokenPair>, ErrorResponses<400, 401, 403, 413, 415, 429>> {
        let limit = app
            .limits
            .check_password_change(me.user.id, app.now())
            .await;
        let mailbox = Some(&me.user.email_key);
        trail
            .limited(app, "password change", mailbox, limit)
            .await?;
        let mut fields = body.read().await?.fields;
        let current = fields.required::<Password>("password");
        let new = fields.required::<Password>("new_password");
        let owner = Some(Owner::of(&me.user));
        let new = fields
            .judge_password("new_password", new, &app.passwords, owner)
            .await?;
        fields.finish()?;
        let (session, secret) = change(app, &me, current?, new?, &trail).await?;
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
    me: &SignedIn,
    current: Password,
    new: NewPassword,
    trail: &AuditContext,
) -> Result<(session::Model, TokenId), ApiError> {
    let limit = app.limits.password_change(me.user.id, app.now()).await;
    let mailbox = Some(&me.user.email_key);
    let guess = trail
        .limited(app, "password change", mailbox, limit)
        .await?;
    let stored = Some(me.user.password_hash.as_str());
    let verdict = app.hasher.verify(current, stored).await?;
    guess.stands();
    if !verdict.correct {
        let event = trail.own(EventKind::PasswordChangeFail, me.user.id);
        app.note(of_session(event, me.session.id)).await?;
        tracing::info!(
            me.user.id,
            "Password change refused: wrong current password."
        );
        return Err(ApiError::WrongPassword);
    }
    app.limits.reset_change_failures(me.user.id).await?;
    store(app, me, new, trail).await
}

/// The password, what it ends, and the notice, all or nothing.
async fn store(
    app: &App,
    me: &SignedIn,
    new: NewPassword,
    trail: &AuditContext,
) -> Result<(session::Model, TokenId), ApiError> {
    let hash = app.hasher.hash(new).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    me.reauthorize(app, &transaction).await?;
    let verified = &me.user.password_hash;
    if !user::change_password(&transaction, me.user.id, verified, hash).await? {
        return Err(ApiError::NotAuthenticated);
    }
    // This session, too: its tokens may have been copied (ASVS 7.2.4).
    session::revoke_all(&transaction, me.user.id, now).await?;
    let (session, secret) = successor(app, &me.session);
    session::insert(&transaction, session.clone()).await?;
    password_reset::end_all(&transaction, me.user.id, now).await?;
    let mail = app
        .outbox
        .write_notice(
            &transaction,
            MailKind::PasswordChanged,
            &me.user,
            trail.request_id(),
            now,
        )
        .await?;
    let event = trail.own(EventKind::PasswordChange, me.user.id);
    app.record_in(&transaction, of_session(event, me.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.wake(mail).await;
    tracing::info!(me.user.id, session.id = %session.id, "Password changed.");
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
