//! Limits by client IP and by account (T1, T2, T5).

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    rate_limit::{WRONG, change_password, login_from, retry_after, start},
    support::{
        dashboard::Dashboard,
        test_app::{PASSWORD, TestApp, registration},
    },
};

/// T1, T2: of a thousand parallel logins from one client IP, 60 a minute are checked. Other client IPs are not affected.
#[tokio::test]
async fn parallel_logins_of_one_ip_are_limited() {
    let app = start(&[("LIMIT_LOGIN_IP", "60/60")]).await;

    let emails: Vec<_> = (0..1_000)
        .map(|number| format!("user{number}@example.com"))
        .collect();
    let logins = emails
        .iter()
        .map(|email| login_from(&app, "192.0.2.1", email, WRONG));
    let answers = join_all(logins).await;

    let checked = answers.iter().filter(|answer| answer.status == 401);
    assert_eq!(checked.count(), 60);
    let limited = answers.iter().find(|answer| answer.status != 401).unwrap();
    assert!((1..=60).contains(&retry_after(limited)));
    let other = login_from(&app, "192.0.2.2", "a@example.com", WRONG).await;
    assert_eq!(other.status, 401);
    app.advance_clock(TimeDelta::seconds(60));
    let later = login_from(&app, "192.0.2.1", "a@example.com", WRONG).await;
    assert_eq!(later.status, 401);
}

/// T5, N1: a mailbox gets three codes an hour, however many are requested. The answers do not tell whether an account exists.
#[tokio::test]
async fn reset_requests_answer_alike_within_mail_budget() {
    let app = start(&[
        ("LIMIT_MAIL_CAUSE", "3/3600"),
        ("LIMIT_MAIL_COOLDOWN", "1/60"),
    ])
    .await;
    app.logged_in_user("known@example.com").await;
    app.deliver_all().await;
    let before = app.sink.mails().len();
    for _ in 0..10 {
        let mut shapes = Vec::new();
        for email in ["known@example.com", "unknown@example.com"] {
            let body = json!({"email": email});
            let answer = app.post("/auth/email_request/", body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            let headers: Vec<_> = answer.headers.keys().cloned().collect();
            let token = answer.text("/token").len();
            shapes.push((headers, token, answer.text("/message")));
        }
        assert_eq!(shapes[0], shapes[1]);
        app.deliver_all().await;
        app.advance_clock(TimeDelta::seconds(60));
    }
    app.deliver_all().await;
    assert_eq!(app.sink.mails().len() - before, 3);

    app.advance_clock(TimeDelta::minutes(50));
    let (token, code) = app.request_reset("known@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// T1: registrations, codes, reset requests and password changes are limited. A rate limited request ends no session.
#[tokio::test]
async fn each_operation_has_its_own_limit() {
    let app = start(&[
        ("LIMIT_REGISTER_IP", "2/3600"),
        ("LIMIT_OTP_IP", "2/60"),
        ("LIMIT_RESET_IP", "2/3600"),
        ("LIMIT_PASSWORD_CHANGE", "2/3600"),
    ])
    .await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.register("b@example.com").await;
    let third = app.post("/api/register/", registration("c@example.com"));
    third.await.assert_problem(429, "too-many-requests");

    for _ in 0..2 {
        let answer = app.check_otp("x", "123456").await;
        answer.assert_problem(400, "invalid-otp");
    }
    let third = app.check_otp("x", "123456").await;
    third.assert_problem(429, "too-many-requests");

    for status in [201, 201, 429] {
        let body = json!({"email": "x@example.com"});
        let answer = app.post("/auth/email_request/", body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }

    let change = || change_password(&app, &tokens.access, WRONG, "another quiet morning");
    for _ in 0..2 {
        change().await.assert_problem(400, "wrong-password");
    }
    change().await.assert_problem(429, "too-many-requests");
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
}

/// T1: an account cannot find out the emails of others by many changes of its own. Other profile changes are not limited.
#[tokio::test]
async fn email_changes_are_rate_limited() {
    let app = start(&[("LIMIT_EMAIL_CHANGE", "2/3600")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.register("taken@example.com").await;
    let change = |email: &'static str| app.patch_user(&tokens.access, json!({"email": email}));
    for _ in 0..2 {
        change("taken@example.com")
            .await
            .assert_problem(409, "email-taken");
    }
    assert_eq!(retry_after(&change("free@example.com").await), 3600);
    assert_eq!(change("ADA@example.com").await.status, 200);
    let name = json!({"username": "Countess"});
    assert_eq!(app.patch_user(&tokens.access, name).await.status, 200);
}

/// T1: the counters in Redis contain no personal data.
#[tokio::test]
async fn redis_counters_contain_no_email() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", WRONG).await;
    let dump = app.redis.dump().await;
    assert!(dump.contains(":limit:failed_attempts:email:"), "{dump}");
    assert!(!dump.contains("ada@example.com"), "{dump}");
}

/// A body that no operation accepts.
const MALFORMED: &str = "{";

/// C1: a client over its limit cannot make the server parse bodies.
#[tokio::test]
async fn client_ip_rate_limited_body_is_not_parsed() {
    for (setting, path) in [
        ("LIMIT_REGISTER_IP", "/api/register/"),
        ("LIMIT_LOGIN_IP", "/api/login/"),
        ("LIMIT_RESET_IP", "/auth/email_request/"),
        ("LIMIT_OTP_IP", "/auth/check_otp/"),
        ("LIMIT_RESET_PASSWORD_IP", "/auth/reset_password/"),
    ] {
        let app = start(&[(setting, "1/3600")]).await;
        let form = json!({
            "email": "ada@example.com", "username": "Ada", "password": PASSWORD,
            "token": "nonsense", "otp": "123456", "new_password": PASSWORD,
        });
        app.post(path, form).await;

        let request = app.request(Method::POST, path);
        let request = request.header("content-type", "application/json");
        let answer = app.send(request.body(MALFORMED)).await;

        retry_after(&answer);
    }
}

/// C1: neither can an account. The limits of pictures apply to large bodies only.
#[tokio::test]
async fn account_rate_limited_body_is_not_parsed() {
    let app = start(&[
        ("LIMIT_PASSWORD_CHANGE", "1/3600"),
        ("LIMIT_PICTURE_ACCOUNT", "1/3600"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    let id = app.user("root@example.com").await.id;
    let picture = data_url(&png(4, 4));
    let answer = app.patch_user(&access, json!({"image": picture})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let wrong = json!({"password": WRONG, "new_password": "another quiet morning"});
    let send = |method: Method, path: &str, body: String| {
        let request = app.request(method, path).bearer_auth(&access);
        app.send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    };
    let path = "/auth/change_password/";
    let answer = send(Method::POST, path, wrong.to_string()).await;
    assert_eq!(answer.status, 400, "{answer:?}");

    let large = format!("{MALFORMED}{}", " ".repeat(100_000));
    for (method, path, body) in [
        (Method::POST, path.to_owned(), MALFORMED),
        (Method::PATCH, "/api/user/".to_owned(), &large),
        (Method::PATCH, format!("/api/admin/users/{id}/"), &large),
    ] {
        let answer = send(method, &path, body.to_owned()).await;
        assert_eq!(answer.status, 429, "{path}: {answer:?}");
        retry_after(&answer);
    }
    let dashboard = Dashboard::signed_in(&app, "root@example.com").await;
    let path = format!("/admin/users/{id}/");
    let page = dashboard.post(&path, &[("junk", &large)]).await;
    assert_eq!(page.status, 429, "{page:?}");
    // A small body can be without a picture.
    let answer = send(Method::PATCH, "/api/user/", MALFORMED.to_owned()).await;
    answer.assert_problem(400, "malformed-body");
}
