//! API tokens in tests.

use chrono::TimeDelta;
use latchkey_api::auth::api_token::ApiToken;
use latchkey_shared::models::api_token::{self, Model};
use uuid::Uuid;

use crate::support::test_app::{TestApp, Tokens};

/// The days until a token of a test expires.
pub(crate) const LIFETIME: TimeDelta = TimeDelta::days(90);

/// Stores a token of an account. Returns its row and its text, as the access token of a client.
pub(crate) async fn create_api_token(
    app: &TestApp,
    email: &str,
    permissions: &str,
) -> (Model, Tokens) {
    let (text, now) = (ApiToken::generate(), app.clock.now());
    let id = Uuid::now_v7();
    let token = Model {
        id,
        user_id: app.user(email).await.id,
        name: format!("Zebulon {}", id.simple()).parse().unwrap(),
        token_hash: text.hash(&app.database.keys.token_hasher()),
        permissions: permissions.parse().unwrap(),
        created_at: now,
        expires_at: now + LIFETIME,
        last_used_at: None,
        revoked_at: None,
    };
    let inserted = api_token::insert(&app.database.db, token.clone()).await;
    inserted.unwrap();
    let client = Tokens {
        access: text.expose().to_owned(),
        refresh: String::new(),
    };
    (token, client)
}

/// Reads the row of a token.
pub(crate) async fn stored_api_token(app: &TestApp, id: Uuid) -> Model {
    let found = api_token::find(&app.database.db, id).await;
    found.unwrap().expect("the token is stored")
}
