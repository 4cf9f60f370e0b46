//! Texts far longer than their fields: refused by their length in bytes, before they are read as anything.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    http::slow_clients::serve_as_it_is,
    support::test_app::{PASSWORD, TestApp},
};

/// One character of 3 bytes, of which NFKC makes 18 of 33 bytes.
const LIGATURE: &str = "\u{fdfa}";

/// As much as a small body holds of it.
fn long() -> Value {
    json!(LIGATURE.repeat(20_000))
}

/// Each call with a body, with the fields that it reads.
fn forms() -> Vec<(Method, &'static str, Value)> {
    let registration = json!({
        "email": "long@example.com", "username": "Long", "password": PASSWORD, "phoneNumber": "+201001234567",
        "dateBirth": "1990-02-28", "gender": "female",
    });
    let mut profile = registration.clone();
    profile.as_object_mut().unwrap().remove("password");
    vec![
        (Method::POST, "/api/register/", registration),
        (Method::PATCH, "/api/user/", profile),
        (
            Method::POST,
            "/api/login/",
            json!({"email": "long@example.com", "password": PASSWORD}),
        ),
        (Method::POST, "/auth/refresh/", json!({"refresh": "x"})),
        (Method::POST, "/auth/logout/", json!({"refresh": "x"})),
        (
            Method::POST,
            "/auth/email_request/",
            json!({"email": "long@example.com"}),
        ),
        (
            Method::POST,
            "/auth/check_otp/",
            json!({"token": "x", "otp": "123456"}),
        ),
        (
            Method::POST,
            "/auth/activate/",
            json!({"token": "x", "otp": "123456"}),
        ),
        (
            Method::POST,
            "/auth/reset_password/",
            json!({"token": "x", "new_password": PASSWORD}),
        ),
        (
            Method::POST,
            "/auth/change_password/",
            json!({"password": PASSWORD, "new_password": PASSWORD}),
        ),
    ]
}

/// P1
#[tokio::test]
async fn overlong_text_in_any_field_returns_400() {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for (method, path, form) in forms() {
        for name in form.as_object().unwrap().keys() {
            let mut bad = form.clone();
            bad[name] = long();
            let request = app.request(method.clone(), path).json(&bad);

            let answer = app.send(request.bearer_auth(&tokens.access)).await;

            answer.assert_problem(400, "invalid-input");
            let expected = [(name.clone(), "too_long".to_owned())];
            assert_eq!(answer.invalid_fields(), expected, "{path} {name}");
        }
    }
}

/// P1: 8 MiB of a character that NFKC makes eleven times as long are not made longer.
#[tokio::test]
async fn overlong_password_is_not_normalised() {
    let mut app = TestApp::new().await;
    let (process, _) = serve_as_it_is(&mut app).await;
    let before = process.most_memory();
    let bomb = LIGATURE.repeat(8 * 1024 * 1024 / 3 - 100);
    let form = json!({"email": "long@example.com", "username": "Long", "password": bomb});

    let answer = app.post("/api/register/", form).await;

    answer.assert_problem(400, "invalid-input");
    assert_eq!(
        answer.invalid_fields(),
        [("password".to_owned(), "too_long".to_owned())]
    );
    let more = process.most_memory() - before;
    assert!(more < 64 * 1024, "{more} KiB more");
}
