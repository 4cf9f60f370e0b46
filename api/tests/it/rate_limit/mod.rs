//! Rate limits, lockouts and mail budgets.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::test_app::{ApiResponse, TestApp};

pub(crate) mod client_ips;
pub(crate) mod limits;
pub(crate) mod lockouts;
pub(crate) mod mail_budget;
pub(crate) mod mail_reserve;
pub(crate) mod redis_growth;

const WRONG: &str = "a wrong password";

/// Starts an application with these limits. Clients set their IP in `X-Forwarded-For`.
async fn start(limits: &[(&str, &str)]) -> TestApp {
    let proxy = [("TRUSTED_PROXIES", "127.0.0.0/8")];
    TestApp::with(&[&proxy, limits].concat()).await
}

/// Posts from a client IP.
async fn post_from(app: &TestApp, client_ip: &str, path: &str, body: Value) -> ApiResponse {
    let request = app.request(Method::POST, path);
    let request = request.header("x-forwarded-for", client_ip).json(&body);
    app.send(request).await
}

/// Logs in from a client IP.
async fn login_from(app: &TestApp, client_ip: &str, email: &str, password: &str) -> ApiResponse {
    let body = json!({"email": email, "password": password});
    post_from(app, client_ip, "/api/login/", body).await
}

async fn change_password(app: &TestApp, access: &str, from: &str, to: &str) -> ApiResponse {
    let body = json!({"password": from, "new_password": to});
    let request = app.request(Method::POST, "/auth/change_password/");
    app.send(request.bearer_auth(access).json(&body)).await
}

/// Returns the seconds in a rate limited answer, and checks that its headers and its text agree.
fn retry_after(answer: &ApiResponse) -> i64 {
    answer.assert_problem(429, "too-many-requests");
    assert_eq!(answer.headers["ratelimit-remaining"], "0");
    assert_eq!(
        answer.headers["ratelimit-reset"],
        answer.headers["retry-after"]
    );
    assert!(answer.headers.contains_key("ratelimit-limit"));
    let seconds = answer.headers["retry-after"].to_str().unwrap();
    let detail = answer.text("/detail");
    let expected = format!(" in {seconds} seconds.");
    assert!(detail.ends_with(&expected), "{detail}");
    seconds.parse().unwrap()
}

/// Returns the active limits and lockouts, as staff see them.
async fn active_limits(app: &TestApp, access: &str) -> ApiResponse {
    let request = app.request(Method::GET, "/api/admin/limits/");
    app.send(request.bearer_auth(access)).await
}

/// Unlocks the first of these limits.
async fn unlock_first(app: &TestApp, access: &str, limits: &ApiResponse) {
    let request = app.request(Method::POST, "/api/admin/limits/release/");
    let body = json!({"name": limits.text("/limits/0/name")});
    let answer = app.send(request.bearer_auth(access).json(&body)).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}
