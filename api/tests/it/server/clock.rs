//! API servers of one installation on machines with different clocks: all of them use the time of Redis.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp};

async fn post(app: &TestApp, base: &str, path: &str, body: Value) -> ApiResponse {
    app.send(app.http.post(format!("{base}{path}")).json(&body))
        .await
}

/// S3: a client that repeats its refresh at another server stays logged in. The clocks of the servers differ by 12 seconds, which
/// exceeds the reuse window of 10 seconds.
#[tokio::test]
async fn repeated_refresh_at_skewed_api_returns_same_successor() {
    let app = TestApp::with(&[("REFRESH_ROTATION", "on")]).await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let behind = app.api_with_skew(TimeDelta::seconds(-6)).await;
    let ahead = app.api_with_skew(TimeDelta::seconds(6)).await;
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    let login = post(&app, &behind, "/api/login/", credentials).await;
    let first = json!({"refresh": login.text("/token/refresh")});

    let refreshed = post(&app, &behind, "/auth/refresh/", first.clone()).await;
    let repeated = post(&app, &ahead, "/auth/refresh/", first).await;

    assert_eq!(repeated.status, 200, "{repeated:?}");
    assert_eq!(repeated.text("/refresh"), refreshed.text("/refresh"));
}

/// S3: a Redis that is wrong by hours would make expired tokens valid again.
#[tokio::test]
async fn redis_clock_ten_minutes_off_is_not_followed() {
    let app = TestApp::new().await;
    for (seconds, status, redis) in [(599, "ok", "ok"), (660, "degraded", "wrong clock")] {
        let base = app.api_with_skew(TimeDelta::seconds(seconds)).await;

        let ready = app.send(app.http.get(format!("{base}/health/ready"))).await;

        assert_eq!(ready.status, 200, "{ready:?}");
        assert_eq!(ready.text("/status"), status, "{ready:?}");
        assert_eq!(ready.text("/redis"), redis, "{ready:?}");
    }
}

/// O1: users have the whole lifetime of a code, even if the API server's clock is ahead of the worker's.
#[tokio::test]
async fn code_at_fast_api_keeps_its_lifetime() {
    let app = TestApp::with(&[("OTP_SECONDS", "40")]).await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let ahead = app.api_with_skew(TimeDelta::seconds(60)).await;
    let (token, code) = app.request_reset("ada@example.com").await;

    let body = json!({"token": token, "otp": code});
    let checked = post(&app, &ahead, "/auth/check_otp/", body).await;

    assert_eq!(checked.status, 200, "{checked:?}");
}
