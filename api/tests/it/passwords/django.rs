//! Logins of imported accounts with the hashes that Django stored.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use serde_json::json;

use crate::support::test_app::{PASSWORD, TestApp};

const EMAIL: &str = "ada@example.com";
const WRONG: &str = "another quiet morning";

/// Passwords and their hashes by Django 5.1, for each function.
const HASHES: [(&str, &str); 8] = include!("../../data/django_hashes.rs");

/// Hashes a text as Django does, with one round.
fn django_hash(password: &str) -> String {
    let mut digest = [0; 32];
    let (salt, password) = (b"salt", password.as_bytes());
    derive(
        PBKDF2_HMAC_SHA256,
        NonZeroU32::MIN,
        salt,
        password,
        &mut digest,
    );
    format!("pbkdf2_sha256$1$salt${}", STANDARD.encode(digest))
}

/// Creates an activated account with this hash.
async fn account_with(hash: &str) -> TestApp {
    let app = TestApp::new().await;
    app.register(EMAIL).await;
    app.activate(EMAIL).await;
    app.set_password_hash(EMAIL, hash).await;
    app
}

async fn stored_hash(app: &TestApp) -> String {
    app.user(EMAIL).await.password_hash
}

/// P4: A hash of each function lets its owner log in, and becomes argon2id.
#[tokio::test]
async fn login_with_each_django_hash_renews_it() {
    let app = account_with(HASHES[0].1).await;
    for (password, hash) in HASHES {
        app.set_password_hash(EMAIL, hash).await;
        app.try_login(EMAIL, WRONG)
            .await
            .assert_problem(401, "invalid-credentials");
        assert_eq!(stored_hash(&app).await, hash);

        app.login(EMAIL, password).await;

        let renewed = stored_hash(&app).await;
        assert!(renewed.starts_with("$argon2id$v=19$m="), "{renewed}");
        app.login(EMAIL, password).await;
        assert_eq!(stored_hash(&app).await, renewed);
    }
}

/// All concurrent first logins succeed, although only one of them replaces the hash.
#[tokio::test]
async fn concurrent_first_logins_all_succeed() {
    let app = account_with(&django_hash(PASSWORD)).await;
    let logins = (0..8).map(|_| app.try_login(EMAIL, PASSWORD));

    for answer in join_all(logins).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    let renewed = stored_hash(&app).await;
    assert!(renewed.starts_with("$argon2id$v=19$m="), "{renewed}");
}

/// The original's API removed whitespace before it hashed a password, and its dashboard did not.
#[tokio::test]
async fn padded_password_matches_as_typed_or_stripped() {
    let padded = "\u{1f} two words\u{3000}";
    for hashed in ["two words", padded] {
        let app = account_with(&django_hash(hashed)).await;
        app.login(EMAIL, padded).await;
        // The renewed hash is that of the typed text.
        app.login(EMAIL, padded).await;
    }
    let app = account_with(&django_hash(padded)).await;
    let answer = app.try_login(EMAIL, "two words").await;
    answer.assert_problem(401, "invalid-credentials");
}

/// Rules for new passwords and their normalisation do not apply to imported ones.
#[tokio::test]
async fn imported_passwords_need_not_follow_the_rules() {
    let long = "x".repeat(200);
    let grows = "\u{fdfa}".repeat(10);
    for password in [
        "1",
        "password",
        &long,
        "Cafe\u{301} cre\u{300}me",
        "\u{fb01}ne",
        &grows,
    ] {
        let app = account_with(&django_hash(password)).await;
        app.login(EMAIL, password).await;
        app.login(EMAIL, password).await;
    }
    let app = account_with(&django_hash("Cafe\u{301}")).await;
    let answer = app.try_login(EMAIL, "Caf\u{e9}").await;
    answer.assert_problem(401, "invalid-credentials");
}

/// P6: A password change accepts the old hash as the current password.
#[tokio::test]
async fn password_change_accepts_old_hash() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(EMAIL).await;
    app.set_password_hash(EMAIL, &django_hash("two words"))
        .await;
    for (current, status) in [(WRONG, 400), ("two words", 200)] {
        let body = json!({"password": current, "new_password": "brisk copper meadow"});
        let request = app.request(reqwest::Method::POST, "/auth/change_password/");
        let answer = app
            .send(request.bearer_auth(&tokens.access).json(&body))
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    app.login(EMAIL, "brisk copper meadow").await;
}

/// C1: A hash above the bounds is refused, not computed.
#[tokio::test]
async fn costly_hash_is_never_computed() {
    let costly = django_hash(PASSWORD).replace("$1$", "$2147483647$");
    let app = account_with(&costly).await;
    app.try_login(EMAIL, PASSWORD)
        .await
        .assert_problem(401, "invalid-credentials");
    let functions: Vec<_> = app.hash_functions().into_keys().collect();
    assert_eq!(functions, ["argon2id"]);
}

/// N2: A failed login knows the dearest hash of each function.
#[tokio::test]
async fn failed_login_computes_each_function_still_stored() {
    let app = TestApp::new().await;
    for (number, (_, hash)) in HASHES.iter().enumerate() {
        let email = format!("ada{number}@example.com");
        app.register(&email).await;
        app.set_password_hash(&email, hash).await;
    }
    let before = app.hash_functions();
    app.try_login("unknown@example.com", WRONG).await;
    let after = app.hash_functions();
    let computed = after.iter().map(|(name, count)| {
        let before = before.get(name).copied().unwrap_or_default();
        (name.as_str(), count - before)
    });
    let expected = [
        "argon2",
        "argon2id",
        "bcrypt",
        "pbkdf2_sha1",
        "pbkdf2_sha256",
        "scrypt",
    ];
    assert_eq!(computed.collect::<Vec<_>>(), expected.map(|name| (name, 1)));
    assert_eq!(app.metric("latchkey_password_hash_old_functions"), 5);
}
