//! `POST /api/login/`

use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        session, user,
    },
    types::email::Email,
};
use poem::{Request, http::header, web::Data};
use poem_openapi::{Object, OpenApi, payload::Json, types::Example};
use uuid::Uuid;

use crate::http::tag::Tag;
use crate::{
    app_state::App,
    auth::jwt::TokenId,
    http::{
        audit_context::{AuditContext, of_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
    },
    passwords::{Password, hasher::PasswordCheck},
    rate_limit::AttemptGuard,
};

/// Who, and the proof of it.
#[derive(Debug, Object)]
#[oai(rename = "Credentials", example)]
struct Wire {
    /// In any case.
    email: String,
    /// As it was set, blanks included.
    password: String,
}

impl Example for Wire {
    fn example() -> Self {
        Self {
            email: "ada@example.com".to_owned(),
            password: "velvet harbour lantern".to_owned(),
        }
    }
}

/// A login that worked.
#[derive(Debug, Object)]
struct LoggedIn {
    /// `Logged in Successfully`
    detail: String,
    /// The account.
    data: LoggedInUser,
    /// The tokens of the new session.
    token: TokenPair,
}

/// The account that logged in.
#[derive(Debug, Object)]
struct LoggedInUser {
    /// The e-mail address, as it was entered.
    email: String,
    /// Always true here.
    is_activated: bool,
}

/// An access token and the refresh token to renew it with.
#[derive(Debug, Object)]
pub struct TokenPair {
    /// For `Authorization: Bearer …`; 5 minutes by default.
    access: String,
    /// For `/auth/refresh/`; 10 days by default.
    refresh: String,
}

impl TokenPair {
    /// The first tokens of a session, whose refresh token has this secret.
    #[must_use]
    pub fn of(app: &App, session: &session::Model, secret: &TokenId) -> Self {
        let now = session.last_used_at;
        let access = app.tokens.access(session.user_id, session.id, now);
        let refresh = app.tokens.refresh(session, secret, now);
        Self {
            access: access.expose().to_owned(),
            refresh: refresh.expose().to_owned(),
        }
    }
}

/// See the module.
pub struct Login;

#[OpenApi]
impl Login {
    /// Log in
    ///
    /// Starts a session. Unknown address, wrong password and shut account give the same answer; that an account is not
    /// activated is said only to somebody who has the right password, and with `REGISTRATION_PRIVACY=on` to nobody.
    #[oai(
        path = "/api/login",
        method = "post",
        operation_id = "login",
        tag = "Tag::Session"
    )]
    async fn login(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        request: &Request,
        body: Body<'_, Wire>,
    ) -> Result<Json<LoggedIn>, ErrorResponses<400, 401, 403, 413, 415, 429>> {
        let limit = app.limits.check_login(audit.client_ip, app.now()).await;
        audit.audit_if_limited(app, "login", None, limit).await?;
        let mut fields = body.read().await?.fields;
        let (email, password) = (
            fields.required::<Email>("email"),
            fields.required::<Password>("password"),
        );
        fields.finish()?;
        let email = email?;
        let limit = app.limits.login(audit.client_ip, &email, app.now()).await;
        let guess = audit
            .audit_if_limited(app, "login", Some(&email.key()), limit)
            .await?;
        let (user, verdict) = authenticate(app, &email, password?, guess, &audit).await?;
        if !user.is_activated {
            record_failure(app, &audit, &email, Some(user.id), "not activated").await?;
            return Err(ApiError::NotActivated.into());
        }
        let device = user_agent(request);
        let token = start_session(app, &user, verdict, device, &audit).await?;
        Ok(Json(LoggedIn {
            detail: "Logged in Successfully".to_owned(),
            data: LoggedInUser {
                email: user.email.to_string(),
                is_activated: user.is_activated,
            },
            token,
        }))
    }
}

/// The open account that the credentials are right for. Whatever the address, one password is verified.
///
/// # Errors
/// When they are not, with a note in the audit log, or something fails.
pub async fn authenticate(
    app: &App,
    email: &Email,
    password: Password,
    guess: AttemptGuard,
    audit: &AuditContext,
) -> Result<(user::Model, PasswordCheck), ApiError> {
    // In a box, so that a login keeps no room for it while it waits for its hash.
    let found = Box::pin(user::find_by_email(&app.db, email)).await?;
    let stored = found.as_ref().map(|user| user.password_hash.as_str());
    let verdict = app.hasher.verify(password, stored).await?;
    // What went wrong before this was no guess.
    guess.stands();
    let known = found.as_ref().map(|user| user.id);
    let user = found.filter(|user| verdict.correct && user.is_active && !is_hidden(app, user));
    let Some(user) = user else {
        // The same steps for every address.
        let has_account = known.is_some();
        app.limits
            .failed_login(email, has_account, app.now())
            .await?;
        record_failure(app, audit, email, known, "wrong address or password").await?;
        return Err(ApiError::InvalidCredentials);
    };
    // The password was right, so what was tried before is forgiven.
    app.limits.reset_failures(email).await?;
    Ok((user, verdict))
}

/// Whether it must not show that there is such an account. Whoever registers with an address that is taken has told a
/// password of their own: with `REGISTRATION_PRIVACY` a login with it, or how many are free, must not tell an account that
/// was just made from that of somebody else. Nobody becomes staff by registering.
fn is_hidden(app: &App, user: &user::Model) -> bool {
    app.config.registration_privacy && !user.is_activated && !user.is_staff
}

/// Notes a login that was refused.
///
/// # Errors
/// When the database fails.
pub async fn record_failure(
    app: &App,
    audit: &AuditContext,
    email: &Email,
    user_id: Option<i64>,
    why: &str,
) -> Result<(), ApiError> {
    let event = Event {
        user_id,
        subject: Some(app.subject(email)),
        detail: Some(why.to_owned()),
        ..audit.anonymous(EventKind::LoginFail)
    };
    app.record(event).await?;
    tracing::info!(why, "Login refused.");
    Ok(())
}

/// A session that begins now, and the secret of its first refresh token.
#[must_use]
pub fn new_session(
    app: &App,
    user_id: i64,
    device: Option<String>,
    audit: &AuditContext,
) -> (session::Model, TokenId) {
    let (now, secret) = (app.now(), TokenId::generate());
    let session = session::Model {
        id: Uuid::now_v7(),
        user_id,
        secret_hash: app.token_hasher.hash(secret.expose()),
        user_agent: device,
        client_ip: audit.client_ip.address(),
        created_at: now,
        last_used_at: now,
        expires_at: app.tokens.session_end(now),
        previous_hash: None,
        rotated_at: None,
        revoked_at: None,
    };
    (session, secret)
}

/// Writes the session of a login. The account's row is changed in the same transaction and only as long as it is as it
/// was verified, so that a reset at the same moment either ends this session or forestalls it.
///
/// # Errors
/// When the account is not as it was verified any more, or the database fails.
pub async fn store_session(
    app: &App,
    user: &user::Model,
    verdict: PasswordCheck,
    session: session::Model,
    audit: &AuditContext,
    detail: Option<&str>,
) -> Result<(), ApiError> {
    let (id, now) = (session.id, session.created_at);
    let transaction = database::begin(&app.db).await?;
    if !user::record_login(
        &transaction,
        user.id,
        &user.password_hash,
        verdict.rehashed,
        now,
    )
    .await?
    {
        return Err(ApiError::InvalidCredentials);
    }
    session::insert(&transaction, session).await?;
    let event = Event {
        detail: detail.map(str::to_owned),
        ..of_session(audit.own(EventKind::LoginSuccess, user.id), id)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    tracing::info!(user.id, session.id = %id, "Logged in.");
    Ok(())
}

/// Makes the session and its tokens.
async fn start_session(
    app: &App,
    user: &user::Model,
    verdict: PasswordCheck,
    device: Option<String>,
    audit: &AuditContext,
) -> Result<TokenPair, ApiError> {
    let (session, secret) = new_session(app, user.id, device, audit);
    let tokens = TokenPair::of(app, &session, &secret);
    // In a box, too.
    Box::pin(store_session(app, user, verdict, session, audit, None)).await?;
    Ok(tokens)
}

/// What a device calls itself, for the owner's list of sessions.
#[must_use]
pub fn user_agent(request: &Request) -> Option<String> {
    let name = request.header(header::USER_AGENT)?;
    Some(name.chars().filter(|c| !c.is_control()).take(200).collect())
}
