//! What holds when nothing is configured.

use serde_json::json;

use crate::world::World;

/// An empty variable is one that is not set.
const LIMITS: [(&str, &str); 9] = [
    ("LIMIT_LOGIN_PEER", ""),
    ("LIMIT_REGISTER_PEER", ""),
    ("LIMIT_RESET_PEER", ""),
    ("LIMIT_RESET_EMAIL", ""),
    ("LIMIT_RESET_EMAIL_GAP", ""),
    ("LIMIT_OTP_PEER", ""),
    ("LIMIT_PASSWORD_CHANGE", ""),
    ("LIMIT_LOGIN_FREE_FAILURES", ""),
    ("LIMIT_LOGIN_FAILURES", ""),
];

/// T1, T3: sixty logins a minute from one peer, and of one account five failures in a row.
#[tokio::test]
async fn without_any_setting_logins_are_limited() {
    let world = World::with(&LIMITS).await;
    for _ in 0..5 {
        let answer = world.try_login("ada@example.com", "a wrong password").await;
        answer.is_problem(401, "invalid-credentials");
    }
    let sixth = world.try_login("ada@example.com", "a wrong password").await;
    sixth.is_problem(429, "too-many-requests");
    // What is refused counts for nothing: five of sixty are gone.
    for number in 5..60 {
        let email = format!("nobody{number}@example.com");
        let answer = world.try_login(&email, "a wrong password").await;
        answer.is_problem(401, "invalid-credentials");
    }

    let answer = world.try_login("new@example.com", "a wrong password").await;

    answer.is_problem(429, "too-many-requests");
    assert_eq!(answer.headers["ratelimit-limit"], "60");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// T5: one mail a minute, and three an hour.
#[tokio::test]
async fn without_any_setting_a_mailbox_is_spared() {
    let world = World::with(&LIMITS).await;
    let ask = || world.post("/auth/email_request/", json!({"email": "ada@example.com"}));
    for _ in 0..3 {
        assert_eq!(ask().await.status, 201);
        ask().await.is_problem(429, "too-many-requests");
        world.pass(chrono::TimeDelta::seconds(61));
    }

    let answer = ask().await;

    answer.is_problem(429, "too-many-requests");
    assert_eq!(answer.headers["ratelimit-limit"], "3");
}
