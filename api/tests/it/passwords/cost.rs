//! The work that a request with a new password causes.

use serde_json::json;

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp};

const WEAK: &str = "12345678";

async fn reset(app: &TestApp, token: &str, password: &str) -> ApiResponse {
    let body = json!({"token": token, "new_password": password});
    app.post("/auth/reset_password/", body).await
}

/// P5: a request with an unknown token costs no hash, whatever its password.
#[tokio::test]
async fn reset_unknown_token_is_rejected_before_hashing() {
    let app = TestApp::new().await;
    for password in [WEAK, "short", PASSWORD] {
        reset(&app, "nonsense", password)
            .await
            .assert_problem(400, "invalid-reset-token");
    }
    assert_eq!(app.password_hash_count(), 0);
}

/// T1: one client IP cannot try many reset tokens.
#[tokio::test]
async fn resets_are_rate_limited_by_client_ip() {
    let app = TestApp::with(&[("LIMIT_RESET_PASSWORD_IP", "2/60")]).await;
    for _ in 0..2 {
        reset(&app, "nonsense", PASSWORD)
            .await
            .assert_problem(400, "invalid-reset-token");
    }
    app.statements.take();

    let answer = reset(&app, "nonsense", PASSWORD).await;

    answer.assert_problem(429, "too-many-requests");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    let looked_up = |sql: &String| sql.contains("password_resets");
    assert!(!app.statements.take().iter().any(looked_up));
    app.advance_clock(chrono::TimeDelta::seconds(61));
    reset(&app, "nonsense", PASSWORD)
        .await
        .assert_problem(400, "invalid-reset-token");
}
