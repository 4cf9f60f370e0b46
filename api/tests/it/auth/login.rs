//! `POST /api/login/`

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::test_app::{PASSWORD, TestApp};

pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn the_answer_has_the_keys_of_the_original() {
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

#[tokio::test]
async fn tokens_have_the_claims_of_the_original_and_the_session() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (access, refresh) = (claims(&tokens.access), claims(&tokens.refresh));
    let now = app.clock.now().timestamp();

    for (claims, kind, seconds) in [(&access, "access", 300), (&refresh, "refresh", 864_000)] {
        let keys: Vec<_> = claims.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["token_type", "exp", "iat", "jti", "user_id", "sid"]);
        assert_eq!(claims["token_type"], kind);
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + seconds);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
        assert_eq!(claims["user_id"], app.user("ada@example.com").await.id);
    }
    assert_eq!(access["sid"], refresh["sid"]);
    assert_ne!(access["jti"], refresh["jti"]);
}

/// N2: nothing tells an unknown address from a wrong password, nor from an account that was shut.
#[tokio::test]
async fn unknown_wrong_and_shut_are_one_answer() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.logged_in_user("shut@example.com").await;
    app.deactivate("shut@example.com").await;

    let mut bodies = Vec::new();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("ada@example.com", "a wrong password"),
        ("shut@example.com", PASSWORD),
        ("shut@example.com", "a wrong password"),
    ] {
        let mut answer = app.try_login(email, password).await;
        answer.assert_problem(401, "invalid-credentials");
        answer.body["instance"] = Value::Null;
        bodies.push(answer.body);
    }
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "{bodies:?}"
    );
}

/// N3
#[tokio::test]
async fn not_activated_is_said_to_the_right_password_alone() {
    let app = TestApp::new().await;
    app.register("new@example.com").await;

    app.try_login("new@example.com", "a wrong password")
        .await
        .assert_problem(401, "invalid-credentials");
    app.try_login("new@example.com", PASSWORD)
        .await
        .assert_problem(403, "not-activated");
}

/// P1: a password is the same however its characters are composed.
#[tokio::test]
async fn a_password_is_the_same_from_every_keyboard() {
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

/// P4: the stored hash follows the configuration at the next login.
#[tokio::test]
async fn a_login_renews_a_hash_of_another_cost() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let old = hash_at_32_kib();
    assert!(old.contains("m=32,t=1,p=1"), "{old}");
    latchkey_shared::models::user::reset_password(&app.database.db, id, old, app.clock.now())
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
