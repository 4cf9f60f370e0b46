//! The mail about a login from a new device (S6).

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::{
    imported_user,
    mail::{self, MailKind},
};
use latchkey_testing::Mail;
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::support::{
    dashboard::Dashboard,
    test_app::{ApiResponse, PASSWORD, TestApp},
};

const EMAIL: &str = "ada@example.com";
const HOME: &str = "198.51.100.7";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const NEWER_CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const FIREFOX: &str =
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Starts an application with an activated account.
async fn start(more: &[(&str, &str)]) -> TestApp {
    let on = [
        ("NEW_DEVICE_MAIL", "on"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let app = TestApp::with(&[&on, more].concat()).await;
    app.register(EMAIL).await;
    app.activate(EMAIL).await;
    app
}

async fn try_login(app: &TestApp, client_ip: &str, agent: &str, password: &str) -> ApiResponse {
    let request = app
        .request(Method::POST, "/api/login/")
        .header("x-forwarded-for", client_ip)
        .header("user-agent", agent)
        .json(&json!({"email": EMAIL, "password": password}));
    app.send(request).await
}

async fn login(app: &TestApp, client_ip: &str, agent: &str) -> String {
    let answer = try_login(app, client_ip, agent, PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text("/token/refresh")
}

/// Returns the delivered mails about new devices, oldest first.
async fn notices(app: &TestApp) -> Vec<Mail> {
    let mut mails = app.mails_to(EMAIL).await;
    mails.retain(|mail| mail.subject.contains("New login"));
    mails
}

/// S6: a login with another browser, on another system or from another network causes one mail.
#[tokio::test]
async fn login_from_new_device_mails_the_owner_once() {
    let app = start(&[]).await;
    for (client_ip, agent, count) in [
        (HOME, CHROME, 0),
        (HOME, CHROME, 0),
        (HOME, NEWER_CHROME, 0),
        (HOME, FIREFOX, 1),
        (HOME, FIREFOX, 1),
        ("203.0.113.9", CHROME, 2),
        ("203.0.113.9", CHROME, 2),
        ("2001:db8:1:2::5", CHROME, 3),
        ("2001:db8:1:9::7", CHROME, 3),
        ("2001:db8:2:2::5", CHROME, 4),
        (HOME, CHROME, 4),
    ] {
        app.advance_clock(TimeDelta::minutes(1));
        login(&app, client_ip, agent).await;
        assert_eq!(notices(&app).await.len(), count, "{client_ip} {agent}");
    }

    let mails = notices(&app).await;
    assert!(mails[0].text.contains("using Firefox (Linux)"), "{mails:?}");
    assert!(mails[1].text.contains("using Chrome (Windows)"));
    for mail in mails {
        for address in ["203.0.113.9", "2001:db8"] {
            assert!(!mail.raw.contains(address), "{}", mail.raw);
        }
    }
}

/// S6: a device stays known after its session has ended, until the session's row is deleted.
#[tokio::test]
async fn device_of_ended_session_is_known() {
    let app = start(&[]).await;
    let refresh = login(&app, HOME, CHROME).await;
    let body = json!({"refresh": refresh});
    assert!(app.post("/auth/logout/", body).await.status.is_success());
    app.advance_clock(TimeDelta::days(39));

    login(&app, HOME, CHROME).await;

    assert!(notices(&app).await.is_empty());
}

/// S6: an account whose sessions were all deleted gets a mail at its next login, but not at its first one.
#[tokio::test]
async fn login_without_earlier_sessions_mails_known_accounts_only() {
    let app = start(&[]).await;
    login(&app, HOME, CHROME).await;
    assert!(notices(&app).await.is_empty());
    delete_sessions(&app).await;

    login(&app, HOME, CHROME).await;
    assert_eq!(notices(&app).await.len(), 1);

    // The last login of an imported account may have been one to the earlier system.
    delete_sessions(&app).await;
    app.mark_imported(EMAIL, imported_user::DJANGO).await;
    login(&app, HOME, FIREFOX).await;
    assert_eq!(notices(&app).await.len(), 1);
    login(&app, HOME, CHROME).await;
    assert_eq!(notices(&app).await.len(), 2);
}

async fn delete_sessions(app: &TestApp) {
    let sessions = latchkey_shared::models::session::Entity::delete_many();
    sessions.exec(&app.database.db).await.unwrap();
}

/// S6: in the quarter of an hour after a password reset, a login from another device causes no mail.
#[tokio::test]
async fn login_right_after_password_reset_causes_no_mail() {
    let app = start(&[]).await;
    login(&app, HOME, CHROME).await;
    app.complete_reset(EMAIL, PASSWORD).await;

    app.advance_clock(TimeDelta::minutes(14));
    login(&app, HOME, FIREFOX).await;
    assert!(notices(&app).await.is_empty());
    app.advance_clock(TimeDelta::minutes(1));
    login(&app, "203.0.113.9", CHROME).await;
    assert_eq!(notices(&app).await.len(), 1);
}

/// S6: concurrent logins from one new device cause one mail.
#[tokio::test]
async fn concurrent_logins_from_new_device_cause_one_mail() {
    let app = start(&[]).await;
    login(&app, HOME, CHROME).await;

    join_all((0..4).map(|_| login(&app, HOME, FIREFOX))).await;

    assert_eq!(notices(&app).await.len(), 1);
}

/// S6: a refused login causes no mail, whatever its device.
#[tokio::test]
async fn refused_login_from_new_device_causes_no_mail() {
    let app = start(&[]).await;
    login(&app, HOME, CHROME).await;

    let wrong = try_login(&app, "203.0.113.9", FIREFOX, "a wrong password").await;
    wrong.assert_problem(401, "invalid-credentials");

    assert!(notices(&app).await.is_empty());
}

/// S6, M3: the mail repeats no text of the client.
#[tokio::test]
async fn new_device_mail_repeats_no_text_of_client() {
    let app = start(&[]).await;
    login(&app, HOME, CHROME).await;

    login(&app, HOME, "evil.example/1.0").await;

    let mails = notices(&app).await;
    assert_eq!(mails.len(), 1);
    assert!(!mails[0].raw.contains("evil"), "{}", mails[0].raw);
    assert!(!mails[0].text.contains("using"), "{}", mails[0].text);
}

/// S6: a sign-in to the dashboard from a new device causes a mail, too.
#[tokio::test]
async fn dashboard_sign_in_from_new_device_causes_mail() {
    let app = start(&[]).await;
    app.create_superuser("root@example.com").await;
    app.login("root@example.com", PASSWORD).await;
    let of_kind = async || {
        let mails = mail::list(&app.database.db, None, 100).await.unwrap();
        let kind = MailKind::NewDevice.as_str();
        mails.iter().filter(|mail| mail.kind == kind).count()
    };
    Dashboard::signed_in(&app, "root@example.com").await;
    assert_eq!(of_kind().await, 0);

    let dashboard = Dashboard::open(&app).await;
    let form = [("email", "root@example.com"), ("password", PASSWORD)];
    let csrf = [("csrf", dashboard.csrf.as_str())];
    let sign_in = dashboard
        .post_request("/admin/login/")
        .header("user-agent", FIREFOX)
        .form(&[&form[..], &csrf].concat());
    assert_eq!(dashboard.send(sign_in).await.status, 303);

    assert_eq!(of_kind().await, 1);
}

/// With `NEW_DEVICE_MAIL=off` no login causes a mail, nor a query.
#[tokio::test]
async fn new_device_mail_off_sends_none() {
    let app = start(&[("NEW_DEVICE_MAIL", "off")]).await;
    login(&app, HOME, CHROME).await;
    app.statements.take();

    login(&app, HOME, FIREFOX).await;

    assert_eq!(count_session_queries(&app), 0);
    assert!(notices(&app).await.is_empty());
}

/// S6: a login from a known device costs one query, which reads a bounded number of sessions.
#[tokio::test]
async fn login_from_known_device_costs_one_query() {
    let app = start(&[]).await;
    login(&app, HOME, CHROME).await;
    app.statements.take();

    login(&app, HOME, CHROME).await;

    assert_eq!(count_session_queries(&app), 1);
}

/// Counts the queries of sessions since the last count.
fn count_session_queries(app: &TestApp) -> usize {
    let statements = app.statements.take();
    let of_sessions = |sql: &&String| sql.starts_with("SELECT") && sql.contains("\"sessions\"");
    let queries: Vec<_> = statements.iter().filter(of_sessions).collect();
    assert!(
        queries.iter().all(|sql| sql.contains("LIMIT")),
        "{queries:?}"
    );
    queries.len()
}
