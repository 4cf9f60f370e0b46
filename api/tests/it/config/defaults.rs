//! The server with every setting at its default, except those that tests cannot share: databases, secrets, URLs, ports and
//! folders.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::{
    config::example_env,
    support::test_app::{PASSWORD, TestApp},
};

/// The settings that differ between the servers of two tests.
const NOT_SHARED: [&str; 7] = [
    "DATABASE_URL",
    "MEDIA_DIR",
    "PUBLIC_URL",
    "REDIS_NAMESPACE",
    "REDIS_URL",
    "SECRET_KEY",
    "SMTP_URL",
];
const WRONG: &str = "a wrong password";

/// Starts a server with default settings. An empty value unsets what other tests set.
async fn start() -> TestApp {
    let example = example_env::settings();
    let unset: Vec<_> = example
        .keys()
        .map(|key| (key.as_str(), ""))
        .filter(|(key, _)| !NOT_SHARED.contains(key))
        .collect();
    let app = TestApp::with(&unset).await;
    let set = app.variables.keys().map(String::as_str);
    assert_eq!(set.collect::<Vec<_>>(), NOT_SHARED);
    app
}

/// A server process starts without further settings, hashes at full cost and asks staff to activate accounts.
#[tokio::test]
async fn default_settings_server_starts_and_answers() {
    let mut app = start().await;
    app.set("METRICS_BIND", "127.0.0.1:0");
    let _process = app.serve().await;

    let ready = app.send(app.request(Method::GET, "/health/ready")).await;
    assert_eq!(ready.text("/status"), "ok");
    app.register("ada@example.com").await;
    let hash = app.user("ada@example.com").await.password_hash;
    assert!(hash.contains("m=19456,t=2,p=1"), "{hash}");
    let pending = app.try_login("ada@example.com", PASSWORD).await;
    pending.assert_problem(403, "not-activated");
    app.activate("ada@example.com").await;
    let tokens = app.login("ada@example.com", PASSWORD).await;
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
}

/// T1, T3: one client IP gets 60 logins a minute, and one account 5 failed attempts before the first lockout.
#[tokio::test]
async fn default_settings_limit_logins() {
    let app = start().await;
    for _ in 0..5 {
        let answer = app.try_login("ada@example.com", WRONG).await;
        answer.assert_problem(401, "invalid-credentials");
    }
    let sixth = app.try_login("ada@example.com", WRONG).await;
    sixth.assert_problem(429, "too-many-requests");
    // The rate limited request is not counted: five of sixty are used.
    for number in 5..60 {
        let email = format!("unknown{number}@example.com");
        let answer = app.try_login(&email, WRONG).await;
        answer.assert_problem(401, "invalid-credentials");
    }

    let answer = app.try_login("new@example.com", WRONG).await;

    answer.assert_problem(429, "too-many-requests");
    assert_eq!(answer.headers["ratelimit-limit"], "60");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// S6: a login from a new device causes a mail.
#[tokio::test]
async fn default_settings_mail_about_new_devices() {
    let app = start().await;
    app.logged_in_user("ada@example.com").await;
    let mails = app.mails_to("ada@example.com").await.len();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let login = app.request(Method::POST, "/api/login/").json(&body);
    let answer = app.send(login.header("user-agent", "curl/8.5.0")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.mails_to("ada@example.com").await.len(), mails + 1);
}

/// T5: a mailbox gets one code a minute, and three an hour because of one client IP.
#[tokio::test]
async fn default_settings_limit_reset_mails() {
    let app = start().await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let mut sent = vec![app.mails_to("ada@example.com").await.len()];
    for _ in 0..5 {
        for _ in 0..2 {
            let body = json!({"email": "ada@example.com"});
            let answer = app.post("/auth/email_request/", body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        sent.push(app.mails_to("ada@example.com").await.len());
        app.advance_clock(TimeDelta::seconds(61));
    }
    assert_eq!(sent, [1, 2, 3, 4, 4, 4]);
}
