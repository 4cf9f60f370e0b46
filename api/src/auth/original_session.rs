//! The sessions of tokens that the original issued. A session begins with the first use of one of its tokens.

use latchkey_shared::{
    database,
    models::{original_token, session, user},
    types::rotation_times::RotationTimes,
};
use poem::Request;

use crate::{
    app_state::App,
    auth::jwt::{TokenId, original::OriginalToken},
    http::{error::ApiError, user_agent::user_agent},
};

/// Returns the live session of a token with its user. Starts it at the first use of a token of an imported account.
pub async fn find(
    app: &App,
    token: &OriginalToken,
    request: &Request,
) -> Result<Option<(session::Model, user::Model)>, ApiError> {
    let (id, now) = (token.session_id(), app.now());
    let mut found = app.sessions.find_alive(id, now).await?;
    if found.is_none() && original_token::is_imported(&app.db, token.user_id).await? {
        let transaction = database::begin(&app.db).await?;
        // First, as in every transaction that changes an account.
        if user::lock(&transaction, token.user_id).await?.is_some() {
            original_token::start_session(&transaction, new_session(app, token, request)).await?;
        }
        transaction.commit().await?;
        found = app.sessions.find_alive(id, now).await?;
    }
    Ok(found.filter(|(_, user)| user.id == token.user_id))
}

fn new_session(app: &App, token: &OriginalToken, request: &Request) -> session::Model {
    // The refresh token of the login may expire later than this access token.
    let expires_at = app
        .tokens
        .session_end(token.issued_at)
        .max(token.expires_at);
    session::Model {
        id: token.session_id(),
        user_id: token.user_id,
        // The hash of no token: those of the original name no session.
        secret_hash: app.token_hasher.hash(TokenId::generate().expose()),
        user_agent: user_agent(request),
        // That of the login is unknown. The one of this request may be a thief's, and must not become a known network.
        client_ip: None,
        created_at: token.issued_at,
        last_used_at: app.now(),
        expires_at,
        rotation_times: RotationTimes::default(),
        revoked_at: None,
        second_factor_at: None,
    }
}
