//! `POST /auth/second_factor/`: completes a login that needs a second factor.

use latchkey_shared::models::{
    audit::{Event, EventKind},
    recovery_code, session, totp_secret, user,
};
use poem::Request;

use crate::{
    app_state::App,
    auth::{
        jwt::{ResetToken, TokenId},
        login::{self, LoginMethod},
        second_factor::proof::{self, ProvedFactor, SentFactor},
    },
    http::{
        audit_context::AuditContext,
        body::fields::Fields,
        error::{ApiError, Challenge},
        user_agent::user_agent,
    },
    rate_limit::Limit,
};

/// Ends the first step of a login: if the account has a second factor, fails with the challenge of the second step.
pub async fn require(app: &App, user: &user::Model) -> Result<(), ApiError> {
    if user.second_factor_at.is_none() {
        return Ok(());
    }
    let token = app.challenges.create(user).await?;
    let mut factors = Vec::new();
    if totp_secret::find_confirmed(&app.db, user.id)
        .await?
        .is_some()
    {
        factors.push("totp".to_owned());
    }
    if recovery_code::count_unused(&app.db, user.id).await? > 0 {
        factors.push("recovery_code".to_owned());
    }
    tracing::info!(user.id, "Login needs a second factor");
    Err(ApiError::SecondFactorRequired(Challenge {
        token: token.expose().to_owned(),
        factors,
    }))
}

/// A user who has proved the password and a second factor.
pub struct ProvedLogin {
    /// The account.
    pub user: user::Model,
    /// The factor, which the transaction of the login uses up.
    pub factor: ProvedFactor,
}

/// Checks the challenge and the second factor of a request. Ends the challenge if both are right.
pub async fn prove(
    app: &App,
    mut fields: Fields,
    audit: &AuditContext,
) -> Result<ProvedLogin, ApiError> {
    app.count_request(audit, Limit::Code).await?;
    let challenge = fields.required::<ResetToken>("challenge");
    let sent = SentFactor::read(&mut fields);
    fields.finish()?;
    let (challenge, sent) = (challenge?, sent?);
    let user = owner(app, &challenge).await?;
    let mut event = Event {
        user_id: Some(user.id),
        subject: Some(app.audit_subject(&user.email_key)),
        detail: Some("second_factor".to_owned()),
        ..audit.anonymous(EventKind::LoginFail)
    };
    event.details.email = Some(user.email.to_string());
    let factor = proof::check(app, &user, sent, event, audit).await?;
    if !app.challenges.end(&challenge).await? {
        return Err(ApiError::InvalidChallenge);
    }
    Ok(ProvedLogin { user, factor })
}

/// Returns the account of an open challenge.
async fn owner(app: &App, challenge: &ResetToken) -> Result<user::Model, ApiError> {
    let Some(found) = app.challenges.find(challenge).await? else {
        return Err(ApiError::InvalidChallenge);
    };
    let user = user::find(&app.db, found.user_id).await?;
    user.filter(|user| app.challenges.is_valid(&found, user))
        .ok_or(ApiError::InvalidChallenge)
}

/// Starts the session of a proved login. Returns it with the secret of its refresh token.
pub async fn start_session(
    app: &App,
    login: &ProvedLogin,
    request: &Request,
    audit: &AuditContext,
) -> Result<(session::Model, TokenId), ApiError> {
    let device = user_agent(request);
    let (mut session, secret) = login::new_session(app, login.user.id, device, audit);
    session.second_factor_at = Some(session.created_at);
    let method = LoginMethod {
        factor: Some(&login.factor),
        ..LoginMethod::default()
    };
    login::store_session(app, &login.user, session.clone(), method, audit).await?;
    Ok((session, secret))
}
