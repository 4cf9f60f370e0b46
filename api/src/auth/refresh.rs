//! `POST /auth/refresh/`

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        session, user,
    },
};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json};

use crate::http::tag::Tag;
use crate::{
    app_state::App,
    auth::jwt::{RefreshToken, TokenId},
    config::Rotation,
    http::{
        audit_context::{AuditContext, of_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
    },
};

/// How long a replaced refresh token still gives its successor: long enough for a lost answer to be asked for again, also
/// that of the database, which has 5 seconds for it, and for the tabs of one browser to refresh together.
const REPLAY_WINDOW: TimeDelta = TimeDelta::seconds(10);

/// A refresh token.
#[derive(Debug, Object)]
#[oai(rename = "Refresh")]
pub(crate) struct Wire {
    /// As the login gave it.
    refresh: String,
}

/// The renewal of an access token.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Refreshed {
    /// A new access token of the same session.
    access: String,
    /// With `REFRESH_ROTATION=on`, the refresh token to use from now on.
    refresh: Option<String>,
}

/// See the module.
pub struct Refresh;

#[OpenApi]
impl Refresh {
    /// Renew the access token
    ///
    /// The refresh token stays the same and can be used until its session ends. With `REFRESH_ROTATION=on` each use gives
    /// a new one; for a moment the old one gives the same again, after that its use ends the session.
    #[oai(
        path = "/auth/refresh",
        method = "post",
        operation_id = "refresh",
        tag = "Tag::Session"
    )]
    async fn refresh(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        body: Body<'_, Wire>,
    ) -> Result<Json<Refreshed>, ErrorResponses<400, 401, 413, 415>> {
        let mut fields = body.read().await?.fields;
        let token = fields.required::<RefreshToken>("refresh");
        fields.finish()?;
        let presented = present(app, &token?, "refresh", &audit).await?;
        let refresh = match app.config.rotation {
            Rotation::On => Some(rotate(app, &presented, &audit).await?),
            Rotation::Off => {
                if !presented.is_current(app) {
                    audit.bad_token(app, "refresh").await;
                    return Err(ApiError::InvalidRefreshToken.into());
                }
                app.sessions.touch(presented.session.id, app.now()).await?;
                None
            }
        };
        let access = app
            .tokens
            .access(presented.user.id, presented.session.id, app.now());
        Ok(Json(Refreshed {
            access: access.expose().to_owned(),
            refresh: refresh.map(|token| token.expose().to_owned()),
        }))
    }
}

/// A refresh token that was signed here for a living session; whether it is the session's present one is another
/// question.
pub(crate) struct Presented {
    /// The session.
    pub(crate) session: session::Model,
    /// Whose it is.
    pub(crate) user: user::Model,
    id: TokenId,
}

impl Presented {
    /// Whether it is the session's present token.
    pub(crate) fn is_current(&self, app: &App) -> bool {
        app.token_hasher
            .matches(self.id.expose(), &self.session.secret_hash)
    }

    /// When it was replaced, if that was just now: an answer may have been lost, or several have refreshed together.
    pub(crate) fn just_replaced(&self, app: &App) -> Option<DateTime<Utc>> {
        let rotated = self.session.rotated_at?;
        (self.is_previous(app) && app.now() < rotated + REPLAY_WINDOW).then_some(rotated)
    }

    fn is_previous(&self, app: &App) -> bool {
        self.session
            .previous_hash
            .as_ref()
            .is_some_and(|hash| app.token_hasher.matches(self.id.expose(), hash))
    }
}

/// Verifies a refresh token and finds its session; that it opens nothing is noted.
pub(crate) async fn present(
    app: &App,
    token: &RefreshToken,
    what: &str,
    audit: &AuditContext,
) -> Result<Presented, ApiError> {
    let presented = find(app, token).await;
    if let Err(ApiError::InvalidRefreshToken) = &presented {
        audit.bad_token(app, what).await;
    }
    presented
}

async fn find(app: &App, token: &RefreshToken) -> Result<Presented, ApiError> {
    let now = app.now();
    let verified = app
        .tokens
        .verify_refresh(token, now)
        .map_err(|_| ApiError::InvalidRefreshToken)?;
    app.sessions
        .find_alive(verified.session, now)
        .await?
        .filter(|(_, user)| user.id == verified.user_id)
        .map(|(session, user)| Presented {
            session,
            user,
            id: verified.id,
        })
        .ok_or(ApiError::InvalidRefreshToken)
}

/// The successor of a refresh token. Of many uses at once one rotates and all get the same; a use of what was replaced
/// longer ago means that two have the token, and ends the session for both.
async fn rotate(
    app: &App,
    presented: &Presented,
    audit: &AuditContext,
) -> Result<RefreshToken, ApiError> {
    let now = app.now();
    let next = presented
        .id
        .successor(&app.token_hasher, presented.session.id);
    let (present, following) = (
        app.token_hasher.hash(presented.id.expose()),
        app.token_hasher.hash(next.expose()),
    );
    if session::rotate(&app.db, presented.session.id, present, following, now).await? {
        return Ok(app.tokens.refresh(&presented.session, &next, now));
    }
    // Somebody rotated before: a moment ago, as when an answer was lost, or long ago.
    let session = session::find_alive(&app.db, presented.session.id, now, app.config.session_idle)
        .await?
        .map(|(session, _)| session)
        .ok_or(ApiError::InvalidRefreshToken)?;
    let again = Presented {
        session,
        user: presented.user.clone(),
        id: presented.id.clone(),
    };
    if let Some(rotated) = again.just_replaced(app) {
        return Ok(app.tokens.refresh(&again.session, &next, rotated));
    }
    revoke_on_reuse(app, &again, audit).await?;
    Err(ApiError::InvalidRefreshToken)
}

/// Ends the session whose old token was used, and tells the owner, once.
pub(crate) async fn revoke_on_reuse(
    app: &App,
    presented: &Presented,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    if !session::revoke(&transaction, presented.session.id, now).await? {
        return Ok(());
    }
    let kind = MailKind::TokenReplayed;
    let mail = app
        .outbox
        .insert_notice(&transaction, kind, &presented.user, audit.request_id(), now)
        .await?;
    let event = Event {
        user_id: Some(presented.user.id),
        ..audit.anonymous(EventKind::TokenReuse)
    };
    app.record_in(&transaction, of_session(event, presented.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::warn!(
        user.id = presented.user.id,
        session.id = %presented.session.id,
        "A replaced refresh token was used again: its session has ended."
    );
    Ok(())
}
