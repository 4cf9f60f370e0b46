//! `POST /api/login/`

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::test_app::{PASSWORD, TestApp, assert_same_problems};

/// Returns the claims of a token without verifying it.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Clients of the original get the login response that they know.
#[tokio::test]
async fn login_response_matches_the_original() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;

    let answer = app.try_login("ADA@EXAMPLE.COM", PASSWORD).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.keys(), ["detail", "data", "token"]);
    assert_eq!(answer.text("/detail"), "Logged in Successfully");
    assert_eq!(
        answer.body["data"],
        json!({"email": "ada@example.com", "is_activated": true})
    );
}

/// Clients of the original find the claims that they know, and the session id.
#[tokio::test]
async fn login_tokens_have_original_claims_and_session_id() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (access, refresh) = (claims(&tokens.access), claims(&tokens.refresh));
    let now = app.clock.now().timestamp();

    for (claims, kind, seconds) in [(&access, "access", 300), (&refresh, "refresh", 864_000)] {
        let keys: Vec<_> = claims.as_object().unwrap().keys().collect();
        let original = ["token_type", "exp", "iat", "jti", "user_id", "sid"];
        let more = if kind == "access" {
            &["iss", "sub", "email_verified"][..]
        } else {
            &[]
        };
        assert_eq!(keys, [&original[..], more].concat());
        assert_eq!(claims["token_type"], kind);
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + seconds);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
        assert_eq!(claims["user_id"], app.user("ada@example.com").await.id);
    }
    assert_eq!(access["iss"], app.base);
    assert_eq!(access["sub"], access["user_id"].to_string());
    assert_eq!(access["sid"], refresh["sid"]);
    assert_ne!(access["jti"], refresh["jti"]);
}

/// N2: A failed login does not reveal whether the email has an account or whether it is deactivated.
#[tokio::test]
async fn failed_login_response_is_same_for_every_account() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.logged_in_user("deactivated@example.com").await;
    app.deactivate("deactivated@example.com").await;

    let mut answers = Vec::new();
    for (email, password) in [
        ("unknown@example.com", PASSWORD),
        ("ada@example.com", "a wrong password"),
        ("deactivated@example.com", PASSWORD),
        ("deactivated@example.com", "a wrong password"),
    ] {
        let answer = app.try_login(email, password).await;
        answer.assert_problem(401, "invalid-credentials");
        answers.push(answer);
    }
    assert_same_problems(answers);
}

/// N3: Only a client with the correct password learns that the account is not activated.
#[tokio::test]
async fn unactivated_login_returns_403_only_with_correct_password() {
    let app = TestApp::new().await;
    app.register("new@example.com").await;

    app.try_login("new@example.com", "a wrong password")
        .await
        .assert_problem(401, "invalid-credentials");
    app.try_login("new@example.com", PASSWORD)
        .await
        .assert_problem(403, "not-activated");
}

/// P1: Users can log in from any keyboard, composed or decomposed characters alike.
#[tokio::test]
async fn login_accepts_password_in_any_unicode_normalization() {
    let app = TestApp::new().await;
    let composed = "caf\u{e9} velvet harbour";
    let answer = app
        .post(
            "/api/register/",
            json!({"email": "u@example.com", "username": "U", "password": composed}),
        )
        .await;
    assert_eq!(answer.status, 201);
    app.activate("u@example.com").await;

    app.login("u@example.com", "cafe\u{301} velvet harbour")
        .await;
}

/// P4: A login replaces a hash whose cost differs from the configured cost.
#[tokio::test]
async fn login_rehashes_password_of_another_cost() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let old = hash_at_32_kib();
    assert!(old.contains("m=32,t=1,p=1"), "{old}");
    latchkey_shared::models::user::reset_password(&app.database.db, id, old)
        .await
        .unwrap();

    app.login("ada@example.com", PASSWORD).await;

    let renewed = app.user("ada@example.com").await.password_hash;
    assert!(renewed.contains("m=64,t=1,p=1"), "{renewed}");
}

fn hash_at_32_kib() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let params = Params::new(32, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(PASSWORD.as_bytes())
        .unwrap()
        .to_string()
}
