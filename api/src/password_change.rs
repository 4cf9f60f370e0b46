//! `POST /auth/change_password/`: a new password by somebody who knows the old one.

use latchkey_shared::{audit::EventKind, database, mail::MailKind, password_reset, session, user};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::{
    app::App,
    audit::{Trail, of_session},
    body::Body,
    error::ApiError,
    failure::Failure,
    openapi::Tag,
    password::{NewPassword, Owner, Password},
    signed_in::{ActivatedUser, SignedIn},
};

/// The old password and the new one.
#[derive(Debug, Object)]
#[oai(rename = "PasswordChange")]
struct Wire {
    /// The current password.
    password: String,
    /// 8 to 128 characters; no common one, and none like the account's own data.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

#[derive(ApiResponse)]
enum Changed {
    /// The new password counts, and every other session has ended.
    #[oai(status = 204)]
    Done,
}

/// See the module.
pub struct PasswordChange;

#[OpenApi]
impl PasswordChange {
    /// Change the own password
    ///
    /// Needs the current one. Every other session of the account ends, and a mail tells the owner.
    #[oai(
        path = "/auth/change_password",
        method = "post",
        operation_id = "changePassword",
        tag = "Tag::Account"
    )]
    async fn change(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        ActivatedUser(me): ActivatedUser,
        body: Body<Wire>,
    ) -> Result<Changed, Failure<400, 401, 403, 413, 415, 429>> {
        let mut fields = body.fields;
        let current = fields.required::<Password>("password");
        let new = fields.required::<Password>("new_password").and_then(|new| {
            new.accept_for(Owner::of(&me.user))
                .map_err(|invalid| fields.note("new_password", invalid))
        });
        fields.finish()?;
        change(app, &me, current?, new?, &trail).await?;
        Ok(Changed::Done)
    }
}

/// Changes a password whose owner knows the current one.
///
/// # Errors
/// When it is not the current one, was tried too often, or something fails.
pub async fn change(
    app: &App,
    me: &SignedIn,
    current: Password,
    new: NewPassword,
    trail: &Trail,
) -> Result<(), ApiError> {
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
    app.limits.forgive_change(me.user.id).await?;
    store(app, me, new, trail).await
}

/// The password, what it ends, and the notice, all or nothing.
async fn store(app: &App, me: &SignedIn, new: NewPassword, trail: &Trail) -> Result<(), ApiError> {
    let hash = app.hasher.hash(new).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    me.still_counts(app, &transaction).await?;
    let verified = &me.user.password_hash;
    if !user::change_password(&transaction, me.user.id, verified, hash).await? {
        return Err(ApiError::NotAuthenticated);
    }
    session::revoke_others(&transaction, me.user.id, me.session.id, now).await?;
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
    app.note_in(&transaction, of_session(event, me.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.wake(mail).await;
    tracing::info!(me.user.id, "Password changed.");
    Ok(())
}
