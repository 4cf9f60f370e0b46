//! Tokens that the Django original issued, with `ORIGINAL_SECRET_KEY`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    cli::import::import_original,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

const EMAIL: &str = "ada@example.com";
/// Short, as the original may have it.
const KEY: &str = "a #$%= b";

async fn start_with(more: &[(&str, &str)]) -> TestApp {
    let app = TestApp::with(&[&[("ORIGINAL_SECRET_KEY", KEY)], more].concat()).await;
    app.register(EMAIL).await;
    app.activate(EMAIL).await;
    app
}

async fn start() -> TestApp {
    let app = start_with(&[]).await;
    app.mark_imported(EMAIL, "django").await;
    app
}

/// Returns the claims of the original, from `age` seconds ago.
async fn claims(app: &TestApp, kind: &str, age: i64) -> Value {
    let iat = app.clock.now().timestamp() - age;
    let exp = iat + if kind == "access" { 300 } else { 864_000 };
    let user_id = app.user(EMAIL).await.id;
    json!({"token_type": kind, "exp": exp, "iat": iat, "jti": "0123456789abcdef0123456789abcdef", "user_id": user_id})
}

fn signed(header: &Value, claims: &Value, key: &str) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{tag}")
}

fn mint(claims: &Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), claims, KEY)
}

async fn token(app: &TestApp, kind: &str) -> String {
    mint(&claims(app, kind, 60).await)
}

async fn call(app: &TestApp, method: Method, path: &str, access: &str, body: Value) -> ApiResponse {
    app.send(app.request(method, path).bearer_auth(access).json(&body))
        .await
}

async fn session_count(app: &TestApp, access: &str) -> usize {
    let sessions = call(app, Method::GET, "/auth/sessions/", access, json!({})).await;
    sessions.body.as_array().unwrap().len()
}

async fn assert_refused(app: &TestApp, access: &str, refresh: &str) {
    app.get_user(access)
        .await
        .assert_problem(401, "not-authenticated");
    app.refresh(refresh)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S2: The tokens of one login are one session, and the refresh token serves again and again.
#[tokio::test]
async fn original_tokens_are_one_session_and_never_rotate() {
    for more in [&[][..], &[("REFRESH_ROTATION", "on")]] {
        let app = start_with(more).await;
        app.mark_imported(EMAIL, "django").await;
        let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
        assert_eq!(app.get_user(&access).await.status, 200);
        for _ in 0..2 {
            let answer = app.refresh(&refresh).await;
            assert_eq!(
                (answer.status.as_u16(), answer.keys()),
                (200, vec!["access"])
            );
            let renewed = answer.text("/access");
            assert_eq!(app.get_user(&renewed).await.status, 200);
            assert_eq!(session_count(&app, &renewed).await, 1);
        }
        let mut digits = claims(&app, "access", 60).await;
        digits["user_id"] = json!(digits["user_id"].to_string());
        assert_eq!(app.get_user(&mint(&digits)).await.status, 200);
    }
}

/// Concurrent first uses start one session.
#[tokio::test]
async fn concurrent_first_refreshes_start_one_session() {
    let app = start().await;
    let refresh = token(&app, "refresh").await;
    let answers = futures_util::future::join_all((0..8).map(|_| app.refresh(&refresh))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(session_count(&app, &answers[0].text("/access")).await, 1);
}

/// S1: Only valid tokens with HS256, of the right type, count, and only with the key and for imported accounts.
#[tokio::test]
async fn invalid_original_tokens_are_refused() {
    let app = start().await;
    let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
    assert_refused(&app, &refresh, &access).await;
    let now = app.clock.now().timestamp();
    for (claim, value) in [
        ("exp", json!(now)),
        ("iat", json!(now + 2)),
        ("nbf", json!(now + 2)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("token_type", json!("other")),
        ("token_type", Value::Null),
        ("user_id", json!(987_654)),
        ("user_id", json!("1x")),
        ("user_id", Value::Null),
        ("iat", Value::Null),
        ("exp", Value::Null),
    ] {
        let changed = async |kind| {
            let mut claims = claims(&app, kind, 60).await;
            claims[claim] = value.clone();
            claims
        };
        let (access, refresh) = (changed("access").await, changed("refresh").await);
        assert_refused(&app, &mint(&access), &mint(&refresh)).await;
    }
    let claims = claims(&app, "access", 60).await;
    for (header, key) in [
        (json!({"alg": "HS256", "typ": "JWT"}), "another key"),
        (json!({"alg": "HS384", "typ": "JWT"}), KEY),
        (json!({"alg": "none", "typ": "JWT"}), KEY),
    ] {
        assert_refused(&app, &signed(&header, &claims, key), &refresh[1..]).await;
    }
}

/// S1
#[tokio::test]
async fn original_tokens_need_key_and_imported_account() {
    let app = start_with(&[]).await;
    let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
    assert_refused(&app, &access, &refresh).await;
    let app = TestApp::new().await;
    app.register(EMAIL).await;
    app.activate(EMAIL).await;
    app.mark_imported(EMAIL, "django").await;
    let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
    assert_refused(&app, &access, &refresh).await;
    // In another source, the same id may belong to another person.
    let app = start_with(&[]).await;
    app.mark_imported(EMAIL, "jsonl").await;
    let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
    assert_refused(&app, &access, &refresh).await;
}

/// S2: Whatever ends all sessions also ends tokens that were never used.
#[tokio::test]
async fn unused_original_tokens_end_with_all_sessions() {
    for end in ["logout_all", "password", "reset", "deactivation"] {
        let app = start().await;
        let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
        let own = app.login(EMAIL, PASSWORD).await.access;
        match end {
            "logout_all" => {
                let answer = call(&app, Method::POST, "/auth/logout_all/", &own, json!({})).await;
                assert_eq!(answer.status, 204);
            }
            "password" => {
                let body = json!({"password": PASSWORD, "new_password": "brisk copper meadow"});
                let answer = call(&app, Method::POST, "/auth/change_password/", &own, body).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            "reset" => app.complete_reset(EMAIL, "brisk copper meadow").await,
            _ => app.deactivate(EMAIL).await,
        }
        assert_refused(&app, &access, &refresh).await;
        if end != "deactivation" {
            // Tokens of a later login to the original count, while it still serves.
            app.advance_clock(chrono::TimeDelta::seconds(5));
            let later = mint(&claims(&app, "access", 0).await);
            assert_eq!(app.get_user(&later).await.status, 200, "{end}");
        }
    }
}

/// S2: A logout ends the tokens of one login.
#[tokio::test]
async fn logout_ends_original_tokens_of_one_login() {
    let app = start().await;
    let (access, refresh) = (token(&app, "access").await, token(&app, "refresh").await);
    let other = mint(&claims(&app, "access", 120).await);
    let answer = app.post("/auth/logout/", json!({"refresh": refresh})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_refused(&app, &access, &refresh).await;
    assert_eq!(app.get_user(&other).await.status, 200);
}

/// Accounts for which the original issued tokens: the case, the id, and the statuses of a profile request and a refresh after the
/// import.
const RECORDED: [(&str, i64, [u16; 2]); 12] = [
    ("ordinary", 3, [200, 200]),
    ("superuser", 2, [200, 200]),
    ("staff", 8, [200, 200]),
    ("deactivated after the issue", 132, [403, 200]),
    ("inactive after the issue", 133, [401, 401]),
    ("password reset after the issue", 134, [200, 200]),
    ("email of several accounts, imported", 48, [200, 200]),
    ("email of several accounts, skipped", 49, [401, 401]),
    ("invalid email", 57, [401, 401]),
    ("deleted", 7, [401, 401]),
    ("deleted and registered again", 135, [401, 401]),
    ("deleted, with the highest id", 138, [401, 401]),
];

/// S1: Tokens are valid for imported accounts that can log in, and never for another account. Like the original, the API
/// refreshes tokens of accounts that are pending approval, and refuses their access tokens.
#[tokio::test]
async fn original_tokens_return_recorded_statuses() {
    let app = TestApp::with(&[("ORIGINAL_SECRET_KEY", KEY)]).await;
    import_original(&app).await;
    // The next id after those of the original.
    app.logged_in_user(EMAIL).await;
    for (case, id, expected) in RECORDED {
        let token = async |kind| {
            let mut claims = claims(&app, kind, 60).await;
            claims["user_id"] = json!(id);
            mint(&claims)
        };
        let read = app.get_user(&token("access").await).await;
        let refreshed = app.refresh(&token("refresh").await).await;
        let statuses = [read.status, refreshed.status].map(|status| status.as_u16());
        assert_eq!(statuses, expected, "{case}: {read:?} {refreshed:?}");
        if refreshed.status == 200 {
            let renewed = app.get_user(&refreshed.text("/access")).await;
            assert_eq!(renewed.status, read.status, "{case}");
        }
    }
}
