//! A table of bad input: each gets a 4xx problem that names the field, and the server stays as it was.

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

/// A registration with one field changed.
fn form(field: &str, value: Value) -> Value {
    let mut form = json!({"email": "bad@example.com", "username": "Bad", "password": PASSWORD});
    form[field] = value;
    form
}

/// A registration with one field left out.
fn without(field: &str) -> Value {
    let mut form = form("email", json!("bad@example.com"));
    form.as_object_mut().unwrap().remove(field);
    form
}

/// Path, body, bad field, code.
#[rustfmt::skip]
fn table() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let long = |count: usize| json!("a".repeat(count));
    vec![
        (REGISTER, without("email"), "email", "required"),
        (REGISTER, form("email", json!("")), "email", "blank"),
        (REGISTER, form("email", json!("   ")), "email", "blank"),
        (REGISTER, form("email", json!(null)), "email", "null"),
        (REGISTER, form("email", json!(["a"])), "email", "type"),
        (REGISTER, form("email", json!({"a": 1})), "email", "type"),
        (REGISTER, form("email", json!(true)), "email", "type"),
        (REGISTER, form("email", json!(1.5)), "email", "invalid"),
        (REGISTER, form("email", json!("ab\0c@example.com")), "email", "control_characters"),
        (REGISTER, form("email", json!("a@example.com\r\nBcc: b@example.com")), "email", "control_characters"),
        (REGISTER, form("email", json!("notanemail")), "email", "invalid"),
        (REGISTER, form("email", json!("a b@c.com")), "email", "invalid"),
        (REGISTER, form("email", json!("a@b")), "email", "invalid"),
        (REGISTER, form("email", json!("a@[127.0.0.1]")), "email", "invalid"),
        (REGISTER, form("email", json!("Ada <a@example.com>")), "email", "invalid"),
        (REGISTER, form("email", json!("a@example.com, b@example.com")), "email", "invalid"),
        (REGISTER, form("email", json!(format!("{}@example.com", "a".repeat(5_000)))), "email", "too_long"),
        (REGISTER, without("username"), "username", "required"),
        (REGISTER, form("username", json!("")), "username", "blank"),
        (REGISTER, form("username", json!(" \t ")), "username", "blank"),
        (REGISTER, form("username", json!(null)), "username", "null"),
        (REGISTER, form("username", json!("ab\0c")), "username", "control_characters"),
        (REGISTER, form("username", json!("a\nb")), "username", "control_characters"),
        (REGISTER, form("username", long(46)), "username", "too_long"),
        (REGISTER, form("username", json!([])), "username", "type"),
        (REGISTER, without("password"), "password", "required"),
        (REGISTER, form("password", json!("")), "password", "blank"),
        (REGISTER, form("password", json!("   ")), "password", "blank"),
        (REGISTER, form("password", json!(null)), "password", "null"),
        (REGISTER, form("password", json!({"a": 1})), "password", "type"),
        (REGISTER, form("password", json!(12345)), "password", "too_short"),
        (REGISTER, form("password", json!("1234567")), "password", "too_short"),
        (REGISTER, form("password", json!("password")), "password", "too_common"),
        (REGISTER, form("password", json!("bad@example.com")), "password", "too_similar"),
        (REGISTER, form("password", json!("pq".repeat(65))), "password", "too_long"),
        (REGISTER, form("phoneNumber", json!("not a phone")), "phoneNumber", "invalid"),
        (REGISTER, form("phoneNumber", json!("01001234567")), "phoneNumber", "invalid"),
        (REGISTER, form("phoneNumber", json!("+999123456")), "phoneNumber", "invalid"),
        (REGISTER, form("phoneNumber", json!("1".repeat(46))), "phoneNumber", "too_long"),
        (REGISTER, form("phoneNumber", json!(true)), "phoneNumber", "type"),
        (REGISTER, form("dateBirth", json!("x")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("1990-13-01")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("1990-02-30")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("28/02/1990")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("2000-1-1")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("20000101")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("2000-01-01T00:00:00Z")), "dateBirth", "invalid"),
        (REGISTER, form("dateBirth", json!("1899-12-31")), "dateBirth", "out_of_range"),
        (REGISTER, form("dateBirth", json!("2999-01-01")), "dateBirth", "out_of_range"),
        (REGISTER, form("dateBirth", json!(["2000-01-01"])), "dateBirth", "type"),
        (REGISTER, form("gender", json!("x")), "gender", "choice"),
        (REGISTER, form("gender", json!("Male")), "gender", "choice"),
        (REGISTER, form("gender", json!(1)), "gender", "choice"),
        (REGISTER, form("image", json!("x.png")), "image", "invalid"),
        (REGISTER, form("image", json!({"url": "x"})), "image", "invalid"),
        (LOGIN, json!({"password": PASSWORD}), "email", "required"),
        (LOGIN, json!({"email": "a@example.com"}), "password", "required"),
        (LOGIN, json!({"email": "lo", "password": PASSWORD}), "email", "invalid"),
        (LOGIN, json!({"username": "a@example.com", "password": PASSWORD}), "email", "required"),
        (LOGIN, json!({"email": ["a"], "password": PASSWORD}), "email", "type"),
        (LOGIN, json!({"email": "a@example.com", "password": {}}), "password", "type"),
        (LOGIN, json!({"email": "a@example.com", "password": null}), "password", "null"),
        (LOGIN, json!({"email": "a@example.com", "password": "p".repeat(129)}), "password", "too_long"),
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
        (REQUEST, json!({"email": "nobody"}), "email", "invalid"),
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

#[tokio::test]
async fn bad_field_is_named_with_its_code() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let table = table();
    assert!(table.len() >= 60);

    for (path, body, field, code) in table {
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

/// The edges of each limit, on the side that is taken.
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
