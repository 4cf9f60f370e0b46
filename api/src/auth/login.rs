//! `POST /api/login/`

use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        session,
        user::{self, RecordedLogin},
    },
    types::{email::Email, rotation_times::RotationTimes},
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
        jwt::TokenId,
        login_response::LoggedIn,
        new_device,
        second_factor::{login_step, proof::ProvedFactor},
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::{Body, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
        user_agent::user_agent,
    },
    passwords::{CurrentPassword, hasher::PasswordCheck},
    rate_limit::Limit,
};

/// The reason of a refused login whose email has no account.
const UNKNOWN_EMAIL: &str = "unknown_email";

/// The credentials of a login.
#[derive(Debug, Object)]
#[oai(rename = "Credentials", example)]
struct LoginRequest {
    /// The email of the account, in upper or lower case.
    email: types::Email,
    /// The password. Whitespace counts.
    #[oai(validator(min_length = 1))]
    password: types::Password,
}

impl Example for LoginRequest {
    fn example() -> Self {
        Self {
            email: types::Email("ada@example.com".to_owned()),
            password: types::Password("velvet harbour lantern".to_owned()),
        }
    }
}

/// The call that starts a session.
pub struct Login;

#[OpenApi]
impl Login {
    /// Log in
    ///
    /// Starts a session. An unknown email, a wrong password and a deactivated account give the same answer. Only a client
    /// with the right password learns that an account is not activated yet, and with `REGISTRATION_PRIVACY=on` no client does.
    /// If the account has a second factor, the answer to the right password is 401 with the problem `second-factor-required` and a
    /// `challenge` for `/auth/second_factor/`.
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
        body: Body<'_, LoginRequest>,
    ) -> Result<Response<Json<LoggedIn>>, ErrorResponses<400, 401, 403, 413, 415, 429>> {
        app.check_limit(&audit, Limit::Login(None)).await?;
        let user = authenticate(app, body.read().await?.fields, &audit).await?;
        if !user.is_activated {
            record_failure(app, &audit, &user.email, Some(user.id), "not_activated").await?;
            return Err(ApiError::NotActivated.into());
        }
        login_step::require(app, &user).await?;
        let device = user_agent(request);
        let (session, secret) = start_session(app, &user, device, &audit).await?;
        Ok(LoggedIn::respond(app, request, (&user, &session), &secret)?)
    }
}

/// Reads the fields `email` and `password`, and returns the active account that they belong to. Verifies one password
/// hash for every email, so that the response time does not show whether an account exists. Replaces an outdated hash.
pub async fn authenticate(
    app: &App,
    mut fields: Fields,
    audit: &AuditContext,
) -> Result<user::Model, ApiError> {
    let (email, password) = (
        fields.required::<Email>("email"),
        fields.required::<CurrentPassword>("password"),
    );
    fields.finish()?;
    let (email, password) = (email?, password?);
    let limit = Limit::Login(Some(&email));
    let attempt = app.count_attempt(audit, limit).await?;
    // Boxed: a login that waits for its hash should not hold memory for this future.
    let found = Box::pin(user::find_by_email(&app.db, &email)).await?;
    let check = verify(app, password.clone(), found.as_ref()).await?;
    // An error before this line refunds the attempt.
    attempt.commit();
    let user_id = found.as_ref().map(|user| user.id);
    let reason = refusal(app, found.as_ref(), &check);
    let (Some(user), None) = (found, reason) else {
        // The same steps for every email.
        app.limits
            .record_failed_login(&email, user_id.is_some(), app.now())
            .await?;
        let reason = reason.unwrap_or(UNKNOWN_EMAIL);
        record_failure(app, audit, &email, user_id, reason).await?;
        return Err(ApiError::InvalidCredentials);
    };
    app.limits.reset_failures(&email).await?;
    match check.rehashed {
        Some(hash) => replace_hash(app, user, hash, password, audit).await,
        None => Ok(user),
    }
}

/// Replaces the hash of a verified password. If a concurrent login has replaced it first, or the password has been changed, the
/// password must match the current hash.
async fn replace_hash(
    app: &App,
    verified: user::Model,
    password_hash: String,
    password: CurrentPassword,
    audit: &AuditContext,
) -> Result<user::Model, ApiError> {
    let (id, old) = (verified.id, &verified.password_hash);
    if user::replace_hash(&app.db, id, old, &password_hash).await? {
        return Ok(user::Model {
            password_hash,
            ..verified
        });
    }
    let current = user::find(&app.db, id).await?;
    let current = current.ok_or(ApiError::InvalidCredentials)?;
    let check = app.hasher.verify(password, &current.password_hash).await?;
    if !check.correct {
        record_failure(app, audit, &current.email, Some(id), "wrong_password").await?;
        return Err(ApiError::InvalidCredentials);
    }
    Ok(current)
}

/// Verifies the password of an account. Fails at the same cost without an account, and for one that must not be told apart from none.
async fn verify(
    app: &App,
    password: CurrentPassword,
    user: Option<&user::Model>,
) -> Result<PasswordCheck, ApiError> {
    let hash_of = |user: &user::Model| user.password_hash.clone();
    let dearest = app
        .old_hashes
        .dearest(&app.db, user.map(hash_of).as_deref())
        .await?;
    let user = user.filter(|user| user.is_active && !is_hidden(app, user));
    let stored = user.map(hash_of);
    app.hasher
        .verify_login(password, stored.as_deref(), &dearest)
        .await
}

/// Returns why a login is refused. Only the audit log tells: the response is the same for every reason. [`verify`] does not verify the
/// password of a deactivated or hidden account.
fn refusal(app: &App, user: Option<&user::Model>, check: &PasswordCheck) -> Option<&'static str> {
    match user {
        None => Some(UNKNOWN_EMAIL),
        Some(user) if !user.is_active => Some("deactivated"),
        Some(user) if is_hidden(app, user) => Some("not_activated"),
        Some(_) => (!check.correct).then_some("wrong_password"),
    }
}

/// Whether a login must treat the account as unknown. With `REGISTRATION_PRIVACY`, a client that registers a taken email
/// chooses a password of its own. A login with that password, or the number of attempts left, must not distinguish the
/// client's new account from an existing one. Registration never creates staff.
fn is_hidden(app: &App, user: &user::Model) -> bool {
    app.config.accounts.registration_privacy && !user.is_activated && !user.is_staff
}

/// Audits a refused login.
pub async fn record_failure(
    app: &App,
    audit: &AuditContext,
    email: &Email,
    user_id: Option<i64>,
    reason: &str,
) -> Result<(), ApiError> {
    let mut event = Event {
        user_id,
        subject: Some(app.audit_subject(&email.key())),
        detail: Some(reason.to_owned()),
        ..audit.anonymous(EventKind::LoginFail)
    };
    event.details.email = Some(email.to_string());
    app.record(event).await?;
    tracing::info!(reason, "Login refused");
    Ok(())
}

/// Creates a session that starts now, and the secret of its first refresh token. Does not store it.
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
        rotation_times: RotationTimes::default(),
        revoked_at: None,
        second_factor_at: None,
    };
    (session, secret)
}

/// How a session is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoginMethod<'a> {
    /// Whether it is a session of the dashboard.
    pub is_dashboard: bool,
    /// The second factor of the login.
    pub factor: Option<&'a ProvedFactor>,
}

impl LoginMethod<'_> {
    /// Returns the detail of the audit event.
    fn detail(self) -> Option<String> {
        let place = self.is_dashboard.then_some("dashboard");
        let words: Vec<_> = place
            .into_iter()
            .chain(self.factor.map(ProvedFactor::as_str))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// Stores the session of a login. The transaction also updates the account, provided that its password hash is still the
/// verified one, and that it has got no second factor since. A concurrent password reset therefore either ends this session or prevents
/// it. Cancels a scheduled deletion of the account. A login from a new device causes a mail. Uses up the second factor of the login.
pub async fn store_session(
    app: &App,
    user: &user::Model,
    session: session::Model,
    method: LoginMethod<'_>,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let (id, now) = (session.id, session.created_at);
    let transaction = database::begin(&app.db).await?;
    let recorded = user::record_login(&transaction, user, now).await?;
    if recorded == RecordedLogin::Refused {
        return Err(ApiError::InvalidCredentials);
    }
    let mut mails = Vec::new();
    if let Some(factor) = method.factor {
        mails.extend(factor.consume(app, &transaction, user, audit).await?);
    }
    mails.extend(new_device::insert_notice(app, &transaction, user, &session, audit).await?);
    session::insert(&transaction, session).await?;
    let event = Event {
        detail: method.detail(),
        ..with_session(audit.own(EventKind::LoginSuccess, user.id), id)
    };
    app.record_in(&transaction, event).await?;
    if recorded == RecordedLogin::DeletionCancelled {
        let event = Event {
            detail: Some("deletion cancelled".to_owned()),
            ..with_session(audit.own(EventKind::UserUpdated, user.id), id)
        };
        app.record_in(&transaction, event).await?;
        let kind = MailKind::DeletionCancelled;
        let notice = app.outbox.owner_notice(kind, user, audit.request_id(), now);
        mails.push(notice.insert(&transaction).await?);
        tracing::info!(user.id, "Deletion of the account cancelled by a login");
    }
    transaction.commit().await?;
    for mail in mails {
        app.outbox.notify_worker(mail).await;
    }
    tracing::info!(user.id, session.id = %id, "Logged in");
    Ok(())
}

/// Stores a new session. Returns it with the secret of its refresh token.
async fn start_session(
    app: &App,
    user: &user::Model,
    device: Option<String>,
    audit: &AuditContext,
) -> Result<(session::Model, TokenId), ApiError> {
    let (session, secret) = new_session(app, user.id, device, audit);
    let stored = session.clone();
    // Boxed for the same reason as the look-up in `authenticate`.
    let method = LoginMethod::default();
    Box::pin(store_session(app, user, stored, method, audit)).await?;
    Ok((session, secret))
}
