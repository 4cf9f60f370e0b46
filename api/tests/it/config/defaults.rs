//! What holds when nothing is configured.

use serde_json::json;

use crate::support::test_app::TestApp;

/// An empty variable is one that is not set.
const LIMITS: [(&str, &str); 11] = [
    ("LIMIT_LOGIN_IP", ""),
    ("LIMIT_REGISTER_IP", ""),
    ("LIMIT_RESET_IP", ""),
    ("LIMIT_MAIL_CAUSE", ""),
    ("LIMIT_MAIL_COOLDOWN", ""),
    ("LIMIT_MAIL_HOUR", ""),
    ("LIMIT_MAIL_DAY", ""),
    ("LIMIT_OTP_IP", ""),
    ("LIMIT_PASSWORD_CHANGE", ""),
    ("LIMIT_LOGIN_FREE_FAILURES", ""),
    ("LIMIT_LOGIN_FAILURES", ""),
];

/// T1, T3: sixty logins a minute from one client IP, and of one account five failures in a row.
#[tokio::test]
async fn default_settings_limit_logins() {
    let app = TestApp::with(&LIMITS).await;
    for _ in 0..5 {
        let answer = app.try_login("ada@example.com", "a wrong password").await;
        answer.assert_problem(401, "invalid-credentials");
    }
    let sixth = app.try_login("ada@example.com", "a wrong password").await;
    sixth.assert_problem(429, "too-many-requests");
    // What is refused counts for nothing: five of sixty are gone.
    for number in 5..60 {
        let email = format!("nobody{number}@example.com");
        let answer = app.try_login(&email, "a wrong password").await;
        answer.assert_problem(401, "invalid-credentials");
    }

    let answer = app.try_login("new@example.com", "a wrong password").await;

    answer.assert_problem(429, "too-many-requests");
    assert_eq!(answer.headers["ratelimit-limit"], "60");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// T5: one code a minute, and three an hour from one client IP.
#[tokio::test]
async fn default_settings_limit_reset_mails() {
    let app = TestApp::with(&LIMITS).await;
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
        app.advance_clock(chrono::TimeDelta::seconds(61));
    }
    assert_eq!(sent, [1, 2, 3, 4, 4, 4]);
}
