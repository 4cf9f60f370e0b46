//! Secrets stay out of the database, Redis, the queue (O4) and the log (L1).

use reqwest::Method;
use serde_json::json;

use crate::{
    admin::dashboard::api_tokens::token_in,
    auth::login::claims,
    support::dashboard::{Dashboard, field_value},
    support::test_app::{PASSWORD, TestApp, code_in},
};

/// The password that the administrator sets.
const NEW_PASSWORD: &str = "another quiet morning";

/// Signs in to the dashboard, changes the password and creates an API token there, and reads each list there and at `/api/admin/`.
/// Returns the cookies and tokens, and the CSRF token of the forms.
async fn use_dashboard_and_admin_api(app: &TestApp) -> (Vec<String>, String) {
    app.create_superuser("root@example.com").await;
    let mut root = Dashboard::open(app).await;
    let visitor = root.get("/admin/login/").await.cookie("latchkey_visitor");
    let page = root.sign_in("root@example.com", PASSWORD).await;
    let signed_in = page.cookie("latchkey_admin").unwrap();
    root.csrf = field_value(&root.get_html("/admin/account/").await, "csrf");
    let form = [
        ("password", PASSWORD),
        ("new_password", NEW_PASSWORD),
        ("password_again", NEW_PASSWORD),
    ];
    root.submit("/admin/account/", &form).await;
    root.csrf = field_value(&root.get_html("/admin/account/").await, "csrf");
    let fields = [
        ("name", "Nightly export"),
        ("days", "30"),
        ("password", NEW_PASSWORD),
        ("view_users", "on"),
    ];
    let page = root.post("/admin/tokens/add/", &fields).await;
    let api_token = token_in(&page.html);
    let call = app.request(Method::GET, "/api/admin/users/");
    assert_eq!(app.send(call.bearer_auth(&api_token)).await.status, 200);
    let access = app.login("root@example.com", NEW_PASSWORD).await.access;
    for (page, call) in [
        ("/admin/users/", "/api/admin/users/"),
        ("/admin/mails/", "/api/admin/mails/"),
        ("/admin/resets/", "/api/admin/resets/"),
        ("/admin/limits/", "/api/admin/limits/"),
        ("/admin/audit/", "/api/admin/audit/"),
    ] {
        root.get_html(page).await;
        let call = app.request(Method::GET, call).bearer_auth(&access);
        assert_eq!(app.send(call).await.status, 200);
    }
    let secret_of = |cookie: String| {
        let (_, value) = cookie.split_once('=').unwrap();
        value.split(';').next().unwrap().to_owned()
    };
    let cookies = visitor.into_iter().chain([signed_in]).map(secret_of);
    let csrf = root.csrf.clone();
    (
        cookies
            .filter(|it| !it.is_empty())
            .chain([access, api_token])
            .collect(),
        csrf,
    )
}

/// O4: A dump of the database, Redis and the queue shows no password, code or token.
#[tokio::test]
async fn stored_data_contains_no_secret() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let waiting = app.request_reset_token("ada@example.com").await;
    let before = app.redis.dump().await;
    app.deliver_all().await;
    let code = code_in(app.sink.mails().last().unwrap());
    let (cookies, form_token) = use_dashboard_and_admin_api(&app).await;

    let dump = [before, app.redis.dump().await, app.database.dump().await].concat();

    assert!(
        dump.contains("ada@example.com"),
        "the dump shows nothing at all"
    );
    assert!(dump.contains(":code:"), "the dump shows no code's key");
    assert!(
        dump.contains(":admin:session:"),
        "the dump shows no sign-in"
    );
    let ids = [claims(&tokens.refresh)["jti"].as_str().unwrap().to_owned()];
    for secret in [
        PASSWORD,
        NEW_PASSWORD,
        &tokens.access,
        &tokens.refresh,
        &waiting,
        &ids[0],
        &form_token,
    ]
    .into_iter()
    .chain(cookies.iter().map(String::as_str))
    {
        assert!(!dump.contains(secret), "{secret} is in the dump");
    }
    // Six digits can occur in any id by chance, so only a whole word counts.
    let words: Vec<_> = dump.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    assert!(!words.contains(&code.as_str()), "{code} is in the dump");
}

/// L1: The log of a real process at the most verbose level shows no secret and no complete email.
#[tokio::test]
async fn log_contains_no_secret_or_email() {
    let mut app = TestApp::new().await;
    app.variables
        .insert("RUST_LOG".to_owned(), "info,latchkey=trace".to_owned());
    app.variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let mut process = app.process(&["serve"]);
    app.base = process.wait_for_url("Listening on").await;

    let tokens = app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;
    app.patch_user(&tokens.access, json!({"phoneNumber": "+201001234567"}))
        .await;
    let refreshed = app.refresh(&tokens.refresh).await.text("/access");
    let asked = app
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await;
    let id = asked.headers["x-request-id"].to_str().unwrap();
    app.check_otp(&asked.text("/token"), "000000").await;
    let misplaced = format!("/auth/refresh/{}", tokens.refresh);
    for path in [
        "/api/user/ada@example.com",
        &misplaced,
        "/media/ada@example.com",
    ] {
        app.send(app.request(Method::GET, path)).await;
    }
    let method = Method::from_bytes(b"SECRETMETHOD").unwrap();
    app.send(app.request(method, "/last")).await;
    process.wait_for_line("_OTHER").await;
    let (cookies, form_token) = use_dashboard_and_admin_api(&app).await;
    process.wait_for_line("/api/admin/audit").await;

    let log = process.lines().join("\n");
    assert!(log.contains(id), "the log does not name the request");
    for secret in [
        PASSWORD,
        "a wrong password",
        "ada@example.com",
        "+201001234567",
        "000000",
        "SECRETMETHOD",
        &tokens.access,
        &tokens.refresh,
        &refreshed,
        &asked.text("/token"),
        NEW_PASSWORD,
        "root@example.com",
        &form_token,
    ]
    .into_iter()
    .chain(cookies.iter().map(String::as_str))
    {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
