//! `POST /auth/change_password/`: a user changes their password.

use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        password_reset, session, user,
    },
    types::rotation_times::RotationTimes,
};
use poem::{Request, web::Data};
use poem_openapi::{
    Object, OpenApi,
    payload::{Json, Response},
    types::{self, Example},
};
use uuid::Uuid;

use crate::{
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        jwt::TokenId,
        login_response::TokenPair,
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::{CurrentPassword, NewPassword, Owner, Password},
    rate_limit::Limit,
};

/// The current and the new password.
#[derive(Debug, Object)]
#[oai(rename = "PasswordChange", example)]
struct PasswordChangeRequest {
    /// The current password.
    #[oai(validator(min_length = 1))]
    password: types::Password,
    /// 8 to 128 characters; neither a common password nor similar to the account's data or the service's name.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: types::Password,
}

impl Example for PasswordChangeRequest {
    fn example() -> Self {
        Self {
            password: types::Password("velvet harbour lantern".to_owned()),
            new_password: types::Password("another quiet morning".to_owned()),
        }
    }
}

/// The call that changes the password of the current user.
pub struct PasswordChange;

#[OpenApi]
impl PasswordChange {
    /// Change your password
    ///
    /// Requires the current password. Ends every session of the account and notifies the owner by email. The answer contains
    /// the tokens of a new session, which replaces the current one and expires at the same time.
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
        request: &Request,
        body: Body<'_, PasswordChangeRequest>,
    ) -> Result<Response<Json<TokenPair>>, ErrorResponses<400, 401, 403, 413, 415, 429>> {
        let limit = Limit::PasswordChange(&current.user);
        app.check_limit(&audit, limit).await?;
        let mut fields = body.read().await?.fields;
        let current_password = fields.required::<CurrentPassword>("password");
        let new = fields.required::<Password>("new_password");
        let owner = Some(Owner::of(&current.user));
        let new = fields
            .judge_password("new_password", new, &app.passwords, owner)
            .await?;
        fields.finish()?;
        let Changed {
            user,
            session,
            secret,
        } = change(app, &current, current_password?, new?, &audit).await?;
        Ok(TokenPair::respond(
            app,
            request,
            (&user, &session),
            &secret,
            |it| it,
        )?)
    }
}

/// A changed password.
pub struct Changed {
    /// The account, as it is now.
    user: user::Model,
    /// The session that replaces the current one.
    pub session: session::Model,
    /// The secret of its refresh token.
    secret: TokenId,
}

/// Verifies the current password and sets a new one.
pub async fn change(
    app: &App,
    current: &CurrentUser,
    current_password: CurrentPassword,
    new: NewPassword,
    audit: &AuditContext,
) -> Result<Changed, ApiError> {
    verify_current(app, current, current_password, None, audit).await?;
    store(app, current, new, audit).await
}

/// Verifies the current password. Limits wrong ones as those of password changes, whatever the request, and audits them with
/// `action` as the detail: `None` stands for a password change.
pub async fn verify_current(
    app: &App,
    current: &CurrentUser,
    password: CurrentPassword,
    action: Option<&str>,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let limit = Limit::PasswordChange(&current.user);
    let attempt = app.count_attempt(audit, limit).await?;
    let stored = &current.user.password_hash;
    let check = app.hasher.verify(password, stored).await?;
    attempt.commit();
    if check.correct {
        return app.limits.reset_change_failures(current.user.id).await;
    }
    let event = Event {
        detail: action.map(str::to_owned),
        ..audit.own(EventKind::PasswordChangeFail, current.user.id)
    };
    app.record(with_session(event, current.session.id)).await?;
    let action = action.unwrap_or("password change");
    tracing::info!(
        user.id = current.user.id,
        action,
        "Request refused: wrong current password"
    );
    Err(ApiError::WrongPassword)
}

/// Stores the password, ends sessions and password resets, and queues the notice, in one transaction.
async fn store(
    app: &App,
    current: &CurrentUser,
    new: NewPassword,
    audit: &AuditContext,
) -> Result<Changed, ApiError> {
    let hash = app.hasher.hash(new).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    // The email may have changed since the head of the request arrived.
    let user = current.reauthorize(app, &transaction).await?;
    let verified = &current.user.password_hash;
    if !user::change_password(&transaction, current.user.id, verified, hash).await? {
        return Err(ApiError::NotAuthenticated);
    }
    // Includes the current session: its tokens may have been copied (ASVS 7.2.4).
    session::revoke_all(&transaction, current.user.id, now).await?;
    let (session, secret) = successor(app, &current.session);
    session::insert(&transaction, session.clone()).await?;
    password_reset::end_all(&transaction, current.user.id, now).await?;
    let mail = app
        .outbox
        .insert_notice(
            &transaction,
            MailKind::PasswordChanged,
            &user,
            audit.request_id(),
            now,
        )
        .await?;
    let event = audit.own(EventKind::PasswordChange, current.user.id);
    app.record_in(&transaction, with_session(event, current.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id = current.user.id, session.id = %session.id, "Password changed");
    Ok(Changed {
        user,
        session,
        secret,
    })
}

/// Creates the session that replaces `old`: same device and expiry, new id and secret.
fn successor(app: &App, old: &session::Model) -> (session::Model, TokenId) {
    let secret = TokenId::generate();
    let session = session::Model {
        id: Uuid::now_v7(),
        secret_hash: app.token_hasher.hash(secret.expose()),
        last_used_at: app.now(),
        rotation_times: RotationTimes::default(),
        ..old.clone()
    };
    (session, secret)
}
