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
use poem::{Request, web::Data};
use poem_openapi::{
    Object, OpenApi,
    payload::{Json, Response},
    types::Example,
};

use crate::{
    app_state::App,
    auth::{
        jwt::{RefreshToken, TokenId, TokenOwner},
        original_session, refresh_cookie,
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// The time for which a replaced refresh token returns the current one. It allows a client to retry after a lost answer, even if
/// the database used its timeout of 5 seconds, and several tabs of a browser to refresh at once, one after the other.
const REUSE_WINDOW: TimeDelta = TimeDelta::seconds(10);

/// A refresh token.
#[derive(Debug, Object)]
#[oai(rename = "Refresh", example)]
pub(crate) struct RefreshRequest {
    /// The refresh token of the login or of the last refresh. Pages that have it as a cookie (`REFRESH_COOKIE=on`) send no body.
    #[oai(validator(min_length = 1))]
    refresh: String,
}

impl Example for RefreshRequest {
    fn example() -> Self {
        Self {
            refresh: "the refresh token of the login".to_owned(),
        }
    }
}

/// A renewed access token.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Refreshed {
    /// A new access token of the same session.
    access: String,
    /// The next refresh token; only with `REFRESH_ROTATION=on`, and not if the response has it as a cookie.
    #[oai(validator(min_length = 1))]
    refresh: Option<String>,
}

/// The call that renews an access token.
pub struct Refresh;

#[OpenApi]
impl Refresh {
    /// Renew the access token
    ///
    /// The refresh token stays valid until its session ends. With `REFRESH_ROTATION=on` each use returns a new one. For 10 seconds
    /// after its replacement a token returns the current one; after that, its use ends the session.
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
        request: &Request,
        body: Body<'_, RefreshRequest>,
    ) -> Result<Response<Json<Refreshed>>, ErrorResponses<400, 401, 403, 413, 415>> {
        let fields = body.read().await?.fields;
        let (token, in_cookie) = refresh_cookie::read_token(app, request, fields)?;
        let presented = present(app, request, &token, "refresh", &audit).await?;
        let refresh = if let Some(id) = &presented.id
            && app.config.sessions.rotation
        {
            Some(rotate(app, &presented, id, &audit).await?)
        } else if presented.is_current(app) {
            app.sessions.touch(presented.session.id, app.now()).await?;
            None
        } else {
            audit.record_invalid_token(app, "refresh").await;
            return Err(ApiError::InvalidRefreshToken.into());
        };
        let access = app.tokens.access(
            TokenOwner::of(&presented.user),
            presented.session.id,
            app.now(),
        )?;
        let body = |refresh: Option<&RefreshToken>| {
            Json(Refreshed {
                access: access.expose().to_owned(),
                refresh: refresh.map(|token| token.expose().to_owned()),
            })
        };
        Ok(match &refresh {
            Some(next) if in_cookie => {
                let session_end = presented.session.expires_at;
                refresh_cookie::with_cookie(app, body(None), next, session_end)
            }
            refresh => Response::new(body(refresh.as_ref())),
        })
    }
}

/// A refresh token with a valid signature and a live session. It may have been replaced by rotation.
pub(crate) struct PresentedToken {
    /// The session.
    pub(crate) session: session::Model,
    /// The user.
    pub(crate) user: user::Model,
    /// The id of the token. `None`: the original issued it. Clients keep such a token, so it is never replaced.
    id: Option<TokenId>,
}

impl PresentedToken {
    /// Whether this is the session's current token.
    pub(crate) fn is_current(&self, app: &App) -> bool {
        let matches = |id: &TokenId| {
            app.token_hasher
                .matches(id.expose(), &self.session.secret_hash)
        };
        self.id.as_ref().is_none_or(matches)
    }

    /// Returns the session's current token and the time of its issue, if this token was replaced within [`REUSE_WINDOW`].
    /// Finds the current token by deriving the successors of this one.
    pub(crate) fn current_if_just_replaced(&self, app: &App) -> Option<(TokenId, DateTime<Utc>)> {
        let times = self.session.rotation_times.as_slice();
        let mut token = self.id.clone()?;
        for replaced in times {
            token = token.successor(&app.token_hasher, self.session.id);
            if app
                .token_hasher
                .matches(token.expose(), &self.session.secret_hash)
            {
                let issued = *times.first()?;
                return (app.now() < *replaced + REUSE_WINDOW).then_some((token, issued));
            }
        }
        None
    }
}

/// Verifies a refresh token and loads its session. Audits an invalid token under the name `call`.
pub(crate) async fn present(
    app: &App,
    request: &Request,
    token: &RefreshToken,
    call: &str,
    audit: &AuditContext,
) -> Result<PresentedToken, ApiError> {
    let presented = find(app, request, token).await;
    if let Err(ApiError::InvalidRefreshToken) = &presented {
        audit.record_invalid_token(app, call).await;
    }
    presented
}

async fn find(
    app: &App,
    request: &Request,
    token: &RefreshToken,
) -> Result<PresentedToken, ApiError> {
    let now = app.now();
    if let Ok(original) = app.tokens.verify_original_refresh(token.expose(), now) {
        let found = original_session::find(app, &original, request).await?;
        let (session, user) = found.ok_or(ApiError::InvalidRefreshToken)?;
        return Ok(PresentedToken {
            session,
            user,
            id: None,
        });
    }
    let (verified, id) = app
        .tokens
        .verify_refresh(token, now)
        .map_err(|_| ApiError::InvalidRefreshToken)?;
    app.sessions
        .find_alive(verified.session, now)
        .await?
        .filter(|(_, user)| user.id == verified.user_id)
        .map(|(session, user)| PresentedToken {
            session,
            user,
            id: Some(id),
        })
        .ok_or(ApiError::InvalidRefreshToken)
}

/// Returns the next refresh token. Concurrent uses rotate once and return the same token. The use of a token that was replaced
/// before [`REUSE_WINDOW`] means that two clients have it, and ends the session.
async fn rotate(
    app: &App,
    presented: &PresentedToken,
    id: &TokenId,
    audit: &AuditContext,
) -> Result<RefreshToken, ApiError> {
    let now = app.now();
    let next = id.successor(&app.token_hasher, presented.session.id);
    let (current_hash, next_hash) = (
        app.token_hasher.hash(id.expose()),
        app.token_hasher.hash(next.expose()),
    );
    let session = &presented.session;
    let times = session.rotation_times.with(now, REUSE_WINDOW);
    if session::rotate(&app.db, session.id, current_hash, next_hash, times, now).await? {
        return Ok(app.tokens.refresh(&presented.session, &next, now));
    }
    // Another request has rotated the token, or the session has ended.
    let session = session::find_alive(&app.db, presented.session.id, now, app.config.sessions.idle)
        .await?
        .map(|(session, _)| session)
        .ok_or(ApiError::InvalidRefreshToken)?;
    let reloaded = PresentedToken {
        session,
        user: presented.user.clone(),
        id: Some(id.clone()),
    };
    if let Some((current, issued)) = reloaded.current_if_just_replaced(app) {
        return Ok(app.tokens.refresh(&reloaded.session, &current, issued));
    }
    revoke_on_reuse(app, &reloaded, audit).await?;
    Err(ApiError::InvalidRefreshToken)
}

/// Ends the session of a reused refresh token and notifies the account owner once.
pub(crate) async fn revoke_on_reuse(
    app: &App,
    presented: &PresentedToken,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    if !session::revoke(&transaction, presented.session.id, now).await? {
        return Ok(());
    }
    let kind = MailKind::TokenReused;
    let mail = app
        .outbox
        .insert_notice(&transaction, kind, &presented.user, audit.request_id(), now)
        .await?;
    let event = Event {
        user_id: Some(presented.user.id),
        ..audit.anonymous(EventKind::TokenReuse)
    };
    app.record_in(&transaction, with_session(event, presented.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::warn!(
        user.id = presented.user.id,
        session.id = %presented.session.id,
        "Replaced refresh token reused: session ended"
    );
    Ok(())
}
