//! Rules for new passwords, wherever a user sets one.

use latchkey_api::config::Config;
use latchkey_shared::config::settings::Settings;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::dashboard::Dashboard,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

/// The SHA-1 of `another quiet morning` and of two other passwords, sorted.
const BREACHED: [&str; 3] = [
    "0801C1574C8A07F67BFED8C612D38D21845A7622",
    "90B39216126097DD7121DD88B25C70D8F9736323",
    "F7B9F20D0A0AF6B7A7E70E446F5E06C631245C78",
];

/// Writes a file in the format of Have I Been Pwned.
fn breach_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = BREACHED.map(|hash| format!("{hash}:17\r\n"));
    std::fs::write(file.path(), lines.concat()).unwrap();
    file
}

async fn register(app: &TestApp, password: &str) -> ApiResponse {
    let form = json!({"email": "new@example.com", "username": "New", "password": password});
    app.post("/api/register/", form).await
}

async fn change(app: &TestApp, access: &str, new: &str) -> ApiResponse {
    let body = json!({"password": PASSWORD, "new_password": new});
    let request = app.request(Method::POST, "/auth/change_password/");
    app.send(request.bearer_auth(access).json(&body)).await
}

/// Sends a new password to each operation that sets one.
async fn set_everywhere(app: &TestApp, password: &str) -> [ApiResponse; 3] {
    let tokens = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    [
        register(app, password).await,
        change(app, &tokens.access, password).await,
        app.reset_password(&token, password).await,
    ]
}

/// P3: users cannot choose passwords that attackers try first.
#[tokio::test]
async fn common_or_obvious_password_returns_400() {
    let app = TestApp::new().await;
    for (password, code) in [
        ("123123123", "too_common"),
        ("jennifer", "too_common"),
        ("administrator", "too_common"),
        ("passwordpassword", "too_common"),
        ("Summer2025!", "too_common"),
        ("abcdefgh", "too_common"),
        ("87654321", "too_common"),
        ("latchkey", "too_similar"),
        ("Latchkey2025!", "too_similar"),
        ("new@example.com", "too_similar"),
        ("p\u{e4}ssword", "too_common"),
        ("p\u{430}ssword1", "too_common"),
        ("$3cr37123", "too_common"),
        ("DragonMonkey1!", "too_common"),
        ("01.02.1990", "too_common"),
        ("new4719302856", "too_similar"),
        ("abcabcabc12", "too_common"),
        ("1p-a-s-s-w-o-r-d9", "too_common"),
    ] {
        let answer = register(&app, password).await;
        answer.assert_problem(400, "invalid-input");
        let expected = [("password".to_owned(), code.to_owned())];
        assert_eq!(answer.invalid_fields(), expected, "{password}");
    }
    // P2: letters alone are accepted.
    assert_eq!(register(&app, "qhzmvxkwpl").await.status, 201);
}

/// P3: the password must not contain the date of birth, whether sent with it or stored before.
#[tokio::test]
async fn date_of_birth_as_password_returns_400() {
    let app = TestApp::new().await;
    let form = json!({
        "email": "new@example.com", "username": "New", "dateBirth": "1990-02-28", "password": "19900228new",
    });

    let answer = app.post("/api/register/", form).await;

    answer.assert_problem(400, "invalid-input");
    let expected = [("password".to_owned(), "too_similar".to_owned())];
    assert_eq!(answer.invalid_fields(), expected);
    assert_eq!(register(&app, "19900228velvet").await.status, 201);
    let tokens = app.logged_in_user("ada@example.com").await;
    let born = json!({"dateBirth": "1990-02-28"});
    let patched = app.patch_user(&tokens.access, born).await;
    assert_eq!(patched.status, 200);
    let answer = change(&app, &tokens.access, "1990.02.28ada").await;
    assert_eq!(answer.invalid_fields()[0].1, "too_similar");
}

/// P3: users cannot choose passwords from known breaches.
#[tokio::test]
async fn breached_password_returns_400_everywhere() {
    let file = breach_file();
    let path = file.path().to_str().unwrap();
    let app = TestApp::with(&[("BREACHED_PASSWORDS_FILE", path)]).await;

    for answer in set_everywhere(&app, "another quiet morning").await {
        answer.assert_problem(400, "invalid-input");
        assert_eq!(answer.invalid_fields()[0].1, "breached");
    }
    assert_eq!(register(&app, "yet another morning").await.status, 201);
}

/// P3: no unchecked password is stored while the breach file is unreadable or shorter than at the start.
#[tokio::test]
async fn unreadable_or_truncated_breach_file_returns_503() {
    let file = breach_file();
    let path = file.path().to_str().unwrap().to_owned();
    let app = TestApp::with(&[("BREACHED_PASSWORDS_FILE", &path)]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    drop(file);
    let first_line = format!("{}:17\r\n", BREACHED[0]);
    for content in [None, Some(""), Some(&first_line)] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }

        let answer = change(&app, &tokens.access, "yet another morning").await;

        answer.assert_problem(503, "unavailable");
        assert!(!answer.body.to_string().contains(&path), "{answer:?}");
    }
    app.login("ada@example.com", PASSWORD).await;
    let file = breach_file();
    std::fs::copy(file.path(), &path).unwrap();
    let answer = change(&app, &tokens.access, "yet another morning").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    std::fs::remove_file(&path).unwrap();
}

/// P1, P3: an invalid setting stops the start, and the error names it.
#[test]
fn invalid_password_settings_stop_the_start() {
    for (key, value) in [
        ("PASSWORD_MIN_LENGTH", "7"),
        ("PASSWORD_MIN_LENGTH", "65"),
        ("PASSWORD_MIN_LENGTH", "x"),
        ("BREACHED_PASSWORDS_FILE", "/nonexistent"),
        ("BREACHED_PASSWORDS_FILE", env!("CARGO_MANIFEST_PATH")),
    ] {
        let secret_key = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");
        let settings = Settings::from_pairs([secret_key, (key, value)]);
        let error = Config::read(settings).unwrap_err().to_string();
        assert!(error.contains(&format!("{key}: ")), "{error}");
    }
}

/// P1: users see the configured minimum length in errors, the OpenAPI document and the dashboard.
#[tokio::test]
async fn password_min_length_is_enforced_and_documented() {
    let app = TestApp::with(&[("PASSWORD_MIN_LENGTH", "12")]).await;
    let eleven = "qhzmvxkwplb";
    for answer in set_everywhere(&app, eleven).await {
        answer.assert_problem(400, "invalid-input");
        assert_eq!(answer.body["errors"][0]["code"], "too_short");
        assert_eq!(
            answer.body["errors"][0]["detail"],
            "At least 12 characters."
        );
    }
    assert_eq!(register(&app, "qhzmvxkwplbn").await.status, 201);

    let document = app.send(app.request(Method::GET, "/openapi.json")).await;
    for (schema, member) in [
        ("Registration", "password"),
        ("PasswordChange", "new_password"),
        ("PasswordReset", "new_password"),
    ] {
        let described = &document.body["components"]["schemas"][schema]["properties"][member];
        assert_eq!(described["minLength"], 12, "{schema}");
        let text = described["description"].as_str().unwrap();
        assert!(text.starts_with("12 to 128 characters"), "{text}");
    }
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/account/").await;
    assert!(html.contains("Minimum length: 12"), "{html}");
}
