//! Texts far longer than their fields: the server rejects them by their length in bytes, before it processes them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::test_app::{PASSWORD, TestApp};

/// A character of 3 bytes that NFKC expands to 18 characters of 33 bytes.
const LIGATURE: &str = "\u{fdfa}";

/// Returns each operation with a body, with all its fields.
fn forms() -> Vec<(Method, &'static str, Value)> {
    let post = |path, body| (Method::POST, path, body);
    let code = json!({"token": "x", "otp": "123456"});
    let registration = json!({
        "email": "long@example.com", "username": "Long", "password": PASSWORD, "phoneNumber": "+201001234567",
        "dateBirth": "1990-02-28", "gender": "female",
    });
    let mut profile = registration.clone();
    profile.as_object_mut().unwrap().remove("password");
    vec![
        post("/api/register/", registration),
        (Method::PATCH, "/api/user/", profile),
        post(
            "/api/login/",
            json!({"email": "long@example.com", "password": PASSWORD}),
        ),
        post("/auth/refresh/", json!({"refresh": "x"})),
        post("/auth/logout/", json!({"refresh": "x"})),
        post("/auth/email_request/", json!({"email": "long@example.com"})),
        post("/auth/check_otp/", code.clone()),
        post("/auth/activate/", code),
        post("/auth/activate/resend/", json!({"token": "x"})),
        post(
            "/auth/reset_password/",
            json!({"token": "x", "new_password": PASSWORD}),
        ),
        post(
            "/auth/change_password/",
            json!({"password": PASSWORD, "new_password": PASSWORD}),
        ),
    ]
}

/// P1: users learn which field is too long, in every operation.
#[tokio::test]
async fn overlong_text_in_any_field_returns_400() {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for (method, path, form) in forms() {
        for name in form.as_object().unwrap().keys() {
            let mut bad = form.clone();
            bad[name] = LIGATURE.repeat(20_000).into();
            let request = app.request(method.clone(), path).json(&bad);

            let answer = app.send(request.bearer_auth(&tokens.access)).await;

            answer.assert_problem(400, "invalid-input");
            let expected = [(name.clone(), "too_long".to_owned())];
            assert_eq!(answer.invalid_fields(), expected, "{path} {name}");
        }
    }
}

/// P1: a password of 8 MiB that NFKC would expand to 90 MiB costs no memory.
#[tokio::test]
async fn overlong_password_is_not_normalised() {
    let mut app = TestApp::new().await;
    let process = app.serve().await;
    let before = process.peak_memory();
    let bomb = LIGATURE.repeat(8 * 1024 * 1024 / 3 - 100);
    let form = json!({"email": "long@example.com", "username": "Long", "password": bomb});

    let answer = app.post("/api/register/", form).await;

    answer.assert_problem(400, "invalid-input");
    assert_eq!(
        answer.invalid_fields(),
        [("password".to_owned(), "too_long".to_owned())]
    );
    let more = process.peak_memory() - before;
    assert!(more < 64 * 1024, "{more} KiB more");
}
