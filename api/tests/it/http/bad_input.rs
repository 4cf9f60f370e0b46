//! Invalid fields: each gets a 400 problem that names the field.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::test_app::{PASSWORD, TestApp};

const REGISTER: &str = "/api/register/";
const LOGIN: &str = "/api/login/";
const REFRESH: &str = "/auth/refresh/";
const LOGOUT: &str = "/auth/logout/";
const REQUEST: &str = "/auth/email_request/";
const CHECK: &str = "/auth/check_otp/";
const RESET: &str = "/auth/reset_password/";
const USER: &str = "/api/user/";

/// Returns a registration with one field changed.
fn form(field: &str, value: Value) -> Value {
    let mut form = json!({"email": "bad@example.com", "username": "Bad", "password": PASSWORD});
    form[field] = value;
    form
}

/// Returns a registration without one field.
fn without(field: &str) -> Value {
    let mut form = form("email", json!("bad@example.com"));
    form.as_object_mut().unwrap().remove(field);
    form
}

/// Invalid values of one registration field, each with the code of the error.
type Values = Vec<(Value, &'static str)>;

/// Returns the invalid values of each text field of a registration.
#[rustfmt::skip]
fn registration_texts() -> Vec<(&'static str, Values)> {
    vec![
        ("email", vec![
            (json!(""), "blank"),
            (json!("   "), "blank"),
            (json!(null), "null"),
            (json!(["a"]), "type"),
            (json!({"a": 1}), "type"),
            (json!(true), "type"),
            (json!(1.5), "invalid"),
            (json!("ab\0c@example.com"), "control_characters"),
            (json!("a@example.com\r\nBcc: b@example.com"), "control_characters"),
            (json!("notanemail"), "invalid"),
            (json!("a b@c.com"), "invalid"),
            (json!("a@b"), "invalid"),
            (json!("a@[127.0.0.1]"), "invalid"),
            (json!("Ada <a@example.com>"), "invalid"),
            (json!("a@example.com, b@example.com"), "invalid"),
            (json!(format!("{}@example.com", "a".repeat(5_000))), "too_long"),
        ]),
        ("username", vec![
            (json!(""), "blank"),
            (json!(" \t "), "blank"),
            (json!(null), "null"),
            (json!("ab\0c"), "control_characters"),
            (json!("a\nb"), "control_characters"),
            (json!("a".repeat(46)), "too_long"),
            (json!([]), "type"),
        ]),
        ("password", vec![
            (json!(""), "blank"),
            (json!("   "), "blank"),
            (json!(null), "null"),
            (json!({"a": 1}), "type"),
            (json!(12345), "too_short"),
            (json!("1234567"), "too_short"),
            (json!("password"), "too_common"),
            (json!("bad@example.com"), "too_similar"),
            (json!("pq".repeat(65)), "too_long"),
        ]),
    ]
}

/// Returns the invalid values of each other field of a registration.
#[rustfmt::skip]
fn registration_details() -> Vec<(&'static str, Values)> {
    vec![
        ("phoneNumber", vec![
            (json!("not a phone"), "invalid"),
            (json!("01001234567"), "invalid"),
            (json!("+999123456"), "invalid"),
            (json!("1".repeat(46)), "too_long"),
            (json!(true), "type"),
        ]),
        ("dateBirth", vec![
            (json!("x"), "invalid"),
            (json!("1990-13-01"), "invalid"),
            (json!("1990-02-30"), "invalid"),
            (json!("28/02/1990"), "invalid"),
            (json!("2000-1-1"), "invalid"),
            (json!("20000101"), "invalid"),
            (json!("2000-01-01T00:00:00Z"), "invalid"),
            (json!("1899-12-31"), "out_of_range"),
            (json!("2999-01-01"), "out_of_range"),
            (json!(["2000-01-01"]), "type"),
        ]),
        ("gender", vec![
            (json!("x"), "choice"),
            (json!("Male"), "choice"),
            (json!(1), "choice"),
        ]),
        ("image", vec![
            (json!("x.png"), "invalid"),
            (json!({"url": "x"}), "invalid"),
        ]),
    ]
}

/// Returns requests with one invalid field: path, body, field, code.
#[rustfmt::skip]
fn other_requests() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        (LOGIN, json!({"password": PASSWORD}), "email", "required"),
        (LOGIN, json!({"email": "a@example.com"}), "password", "required"),
        (LOGIN, json!({"email": "lo", "password": PASSWORD}), "email", "invalid"),
        (LOGIN, json!({"username": "a@example.com", "password": PASSWORD}), "email", "required"),
        (LOGIN, json!({"email": ["a"], "password": PASSWORD}), "email", "type"),
        (LOGIN, json!({"email": "a@example.com", "password": {}}), "password", "type"),
        (LOGIN, json!({"email": "a@example.com", "password": null}), "password", "null"),
        (LOGIN, json!({"email": "a@example.com", "password": "p".repeat(2_049)}), "password", "too_long"),
        (REFRESH, json!({}), "refresh", "required"),
        (REFRESH, json!({"refresh": ""}), "refresh", "blank"),
        (REFRESH, json!({"refresh": null}), "refresh", "null"),
        (REFRESH, json!({"refresh": ["x"]}), "refresh", "type"),
        (REFRESH, json!({"token": "x"}), "refresh", "required"),
        (LOGOUT, json!({}), "refresh", "required"),
        (LOGOUT, json!({"refresh": {}}), "refresh", "type"),
        (REQUEST, json!({}), "email", "required"),
        (REQUEST, json!({"email": ""}), "email", "blank"),
        (REQUEST, json!({"email": 5}), "email", "invalid"),
        (REQUEST, json!({"email": "re\0@example.com"}), "email", "control_characters"),
        (REQUEST, json!({"email": "unknown"}), "email", "invalid"),
        (CHECK, json!({"otp": "123456"}), "token", "required"),
        (CHECK, json!({"token": "x"}), "otp", "required"),
        (CHECK, json!({"token": "x", "otp": ["123456"]}), "otp", "type"),
        (CHECK, json!({"token": "x", "otp": true}), "otp", "type"),
        (CHECK, json!({"token": {"a": 1}, "otp": "123456"}), "token", "type"),
        (CHECK, json!({"token": "t".repeat(10_000), "otp": "123456"}), "token", "too_long"),
        (RESET, json!({"new_password": PASSWORD}), "token", "required"),
        (RESET, json!({"token": "x"}), "new_password", "required"),
        (RESET, json!({"token": "x", "new_password": null}), "new_password", "null"),
        (RESET, json!({"token": "x", "new_password": ["x"]}), "new_password", "type"),
        (RESET, json!({"token": "x", "new_password": "pq".repeat(100)}), "new_password", "too_long"),
        (USER, json!({"email": null}), "email", "null"),
        (USER, json!({"email": "not-an-email"}), "email", "invalid"),
        (USER, json!({"username": null}), "username", "null"),
        (USER, json!({"username": ""}), "username", "blank"),
        (USER, json!({"username": "u".repeat(46)}), "username", "too_long"),
        (USER, json!({"gender": "x"}), "gender", "choice"),
        (USER, json!({"dateBirth": "x"}), "dateBirth", "invalid"),
        (USER, json!({"phoneNumber": "12"}), "phoneNumber", "invalid"),
        (USER, json!({"image": "x"}), "image", "invalid"),
    ]
}

/// Returns all requests with one invalid field.
fn requests() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let mut requests = other_requests();
    for field in ["email", "username", "password"] {
        requests.push((REGISTER, without(field), field, "required"));
    }
    for (field, values) in [registration_texts(), registration_details()].concat() {
        for (value, code) in values {
            requests.push((REGISTER, form(field, value), field, code));
        }
    }
    requests
}

/// A client learns which field is invalid, and why, without the words of a library.
#[tokio::test]
async fn bad_field_is_named_with_its_code() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for (path, body, field, code) in requests() {
        let method = if path == USER {
            Method::PATCH
        } else {
            Method::POST
        };
        let mut request = app.request(method, path).json(&body);
        if path == USER {
            request = request.bearer_auth(&tokens.access);
        }
        let answer = app.send(request).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(
            answer.invalid_fields(),
            [(field.to_owned(), code.to_owned())],
            "{path} {body}: {answer:?}"
        );
        let detail = answer.text("/errors/0/detail");
        assert!(
            detail.ends_with('.') && !detail.contains("poem") && !detail.contains("serde"),
            "{detail}"
        );
    }
}

/// A client learns about all invalid fields at once.
#[tokio::test]
async fn several_bad_fields_are_all_named() {
    let app = TestApp::new().await;
    let body = json!({
        "email": "", "username": null, "password": "x", "gender": "x", "dateBirth": "x", "phoneNumber": "1", "image": "x",
    });

    let answer = app.post(REGISTER, body).await;

    answer.assert_problem(400, "invalid-input");
    let mut fields: Vec<_> = answer
        .invalid_fields()
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "dateBirth",
            "email",
            "gender",
            "image",
            "password",
            "phoneNumber",
            "username"
        ]
    );
}

/// Users can use the whole range of each field.
#[tokio::test]
async fn field_at_its_length_limits_is_accepted() {
    let app = TestApp::new().await;
    let longest = format!("{}@{}.example.com", "a".repeat(64), "b".repeat(63));
    for (number, body) in [
        form("email", json!(longest)),
        form("username", json!("u")),
        form("username", json!("é".repeat(45))),
        form("username", json!("😀")),
        form("username", json!(12345)),
        form("password", json!("kq9$wztx")),
        form(
            "password",
            json!(
                (0..128)
                    .filter_map(|n| char::from_u32(33 + n * 37 % 90))
                    .collect::<String>()
            ),
        ),
        form("password", json!("😀🦀🐧🦊🐸🐝🦉🐙")),
        form("password", json!(4_719_302_856_471_u64)),
        form("dateBirth", json!("1900-01-01")),
        form("dateBirth", json!(app.clock.now().date_naive().to_string())),
        form("dateBirth", json!(" 2000-01-01 ")),
        form("gender", json!("")),
        form("phoneNumber", json!("+44 20 7946 0958")),
        form("phoneNumber", json!(null)),
        form("image", json!("")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = body;
        if body["email"] == "bad@example.com" {
            body["email"] = json!(format!("good{number}@example.com"));
        }
        let answer = app.post(REGISTER, body.clone()).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
    }
}
