//! The calls under `/api/admin/`.

mod api_tokens;
mod audit_log;
mod lockouts;
mod mails;
mod permissions;
mod user_list;
mod users;

use reqwest::Method;
use serde_json::Value;

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp, Tokens};

/// Creates a staff member with these permissions and logs in.
async fn logged_in_staff(app: &TestApp, email: &str, permissions: &str) -> Tokens {
    app.create_staff(email, permissions).await;
    app.login(email, PASSWORD).await
}

/// Creates a superuser and logs in.
async fn logged_in_superuser(app: &TestApp, email: &str) -> Tokens {
    app.create_superuser(email).await;
    app.login(email, PASSWORD).await
}

async fn send(
    app: &TestApp,
    admin: &Tokens,
    method: Method,
    path: &str,
    body: Value,
) -> ApiResponse {
    let mut request = app.request(method, path).bearer_auth(&admin.access);
    if !body.is_null() {
        request = request.json(&body);
    }
    app.send(request).await
}

async fn get(app: &TestApp, admin: &Tokens, path: &str) -> ApiResponse {
    send(app, admin, Method::GET, path, Value::Null).await
}

async fn post(app: &TestApp, admin: &Tokens, path: &str, body: Value) -> ApiResponse {
    send(app, admin, Method::POST, path, body).await
}

async fn patch(app: &TestApp, admin: &Tokens, id: i64, body: Value) -> ApiResponse {
    let path = format!("/api/admin/users/{id}/");
    send(app, admin, Method::PATCH, &path, body).await
}

async fn delete(app: &TestApp, admin: &Tokens, id: i64) -> ApiResponse {
    let path = format!("/api/admin/users/{id}/");
    send(app, admin, Method::DELETE, &path, Value::Null).await
}

/// Posts to an action of one account, such as `activate`.
async fn user_action(app: &TestApp, admin: &Tokens, id: i64, action: &str) -> ApiResponse {
    let path = format!("/api/admin/users/{id}/{action}/");
    post(app, admin, &path, Value::Null).await
}

/// Asserts that a list responds to `name=value` with 400 and names the parameter.
async fn assert_invalid_parameter(app: &TestApp, admin: &Tokens, list: &str, parameter: &str) {
    let response = get(app, admin, &format!("/api/admin/{list}/?{parameter}")).await;
    response.assert_problem(400, "invalid-input");
    let (name, _) = parameter.split_once('=').unwrap();
    assert_eq!(response.invalid_fields()[0].0, name, "{parameter}");
}
