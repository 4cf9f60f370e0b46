//! The memory that clients can use in Redis is bounded (C2), and the failed attempts of accounts are kept (T3).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    rate_limit::{WRONG, post_from},
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

const CLIENT_IP: &str = "192.0.2.1";

/// The smallest bound that the configuration accepts.
const MAX_COUNTERS: usize = 100;
/// The maximum size of one counter of failed logins with its key, in bytes, as stated in `deploy/docs/security.md`.
const COUNTER_BYTES: u64 = 250;
/// The maximum size of an entry of the list of counters, in bytes: the bound stated in `deploy/docs/security.md`, plus the longer
/// namespace of a test.
const ENTRY_BYTES: u64 = 300;

async fn start() -> TestApp {
    let max_counters = MAX_COUNTERS.to_string();
    TestApp::with(&[
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("LIMIT_MAX_COUNTERS", &max_counters),
        // Counters with one lifetime share one list.
        ("LIMIT_OTP_EMAIL", "20/86400"),
        ("LIMIT_OTP_EMAIL_IP", "10/86400"),
    ])
    .await
}

/// Posts from a client IP, a millisecond after the previous request.
async fn post_later_from(app: &TestApp, client_ip: &str, path: &str, body: Value) -> ApiResponse {
    app.advance_clock(TimeDelta::milliseconds(1));
    post_from(app, client_ip, path, body).await
}

async fn fail_from(app: &TestApp, client_ip: &str, email: &str) {
    let body = json!({"email": email, "password": WRONG});
    let answer = post_later_from(app, client_ip, "/api/login/", body).await;
    answer.assert_problem(401, "invalid-credentials");
}

async fn fail(app: &TestApp, email: &str) {
    fail_from(app, CLIENT_IP, email).await;
}

/// Fails a login for each of these unknown emails, each from another /64 of one /48.
async fn fail_unknown(app: &TestApp, numbers: std::ops::Range<usize>) {
    stream::iter(numbers)
        .for_each_concurrent(8, |number| async move {
            let client_ip = format!("2001:db8:1:{number:x}::1");
            fail_from(app, &client_ip, &format!("unknown{number}@example.com")).await;
        })
        .await;
}

/// Enters a wrong code for an email after the worker has looked up its account.
async fn try_code(app: &TestApp, client_ip: &str, email: &str) {
    let token = request_token(app, client_ip, email).await;
    app.deliver_all().await;
    check_wrong(app, client_ip, &token).await;
}

async fn request_token(app: &TestApp, client_ip: &str, email: &str) -> String {
    let body = json!({"email": email});
    let answer = post_later_from(app, client_ip, "/auth/email_request/", body).await;
    answer.text("/token")
}

async fn check_wrong(app: &TestApp, client_ip: &str, token: &str) {
    let body = json!({"token": token, "otp": "000000"});
    let answer = post_later_from(app, client_ip, "/auth/check_otp/", body).await;
    answer.assert_problem(400, "invalid-otp");
}

/// Returns the keys of limits whose name starts with this.
async fn keys_of(app: &TestApp, name: &str) -> BTreeSet<String> {
    let part = format!(":limit:{name}");
    let keys = app.redis.keys().await;
    keys.into_iter().filter(|key| key.contains(&part)).collect()
}

/// Returns the seconds to live (-1 for no end) and the size in bytes of each counter of one kind.
async fn counters(app: &TestApp, kind: &str) -> Vec<(i64, u64)> {
    let mut counters = Vec::new();
    for key in keys_of(app, &format!("{kind}:email:")).await {
        let mut both = redis::pipe();
        both.cmd("TTL").arg(&key);
        both.cmd("MEMORY").arg("USAGE").arg(&key);
        let mut redis = app.redis.connection();
        counters.push(both.query_async(&mut redis).await.unwrap());
    }
    counters
}

/// Returns the seconds to live, the entries and the size in bytes of each list of counters.
async fn lists(app: &TestApp) -> Vec<(i64, BTreeSet<String>, u64)> {
    let mut lists = Vec::new();
    for key in keys_of(app, "newest:").await {
        let mut all = redis::pipe();
        all.cmd("TTL").arg(&key);
        all.cmd("ZRANGE").arg(&key).arg(0).arg(-1);
        all.cmd("MEMORY")
            .arg("USAGE")
            .arg(&key)
            .arg("SAMPLES")
            .arg(0);
        let mut redis = app.redis.connection();
        lists.push(all.query_async(&mut redis).await.unwrap());
    }
    lists
}

/// C2: attackers cannot fill Redis with failed logins, however many emails and networks they use. The oldest counters are
/// removed.
#[tokio::test]
async fn failed_logins_of_unknown_emails_are_bounded() {
    let app = start().await;
    fail_unknown(&app, 0..30).await;
    let oldest = [
        keys_of(&app, "failed_attempts:email:").await,
        keys_of(&app, "failed:email:").await,
    ];
    assert_eq!(oldest[0].len(), 30);
    assert_eq!(oldest[1].len(), 30);

    fail_unknown(&app, 30..MAX_COUNTERS + 50).await;

    let waits = counters(&app, "failed_attempts").await;
    assert!(waits.len() <= MAX_COUNTERS, "{}", waits.len());
    assert!(waits.iter().all(|(ends, _)| (0..=3600).contains(ends)));
    let remembered = counters(&app, "failed").await;
    assert_eq!(remembered.len(), MAX_COUNTERS);
    assert!(
        remembered
            .iter()
            .all(|(ends, _)| (0..=86_400).contains(ends))
    );
    for (_, bytes) in waits.iter().chain(&remembered) {
        assert!(*bytes <= COUNTER_BYTES, "{bytes}");
    }
    for old in oldest.iter().flatten() {
        assert!(!app.redis.keys().await.contains(old), "{old}");
    }
    for (ends, entries, bytes) in lists(&app).await {
        assert!((0..=86_520).contains(&ends), "{ends}");
        assert!(entries.len() <= MAX_COUNTERS);
        assert!(bytes <= ENTRY_BYTES * MAX_COUNTERS as u64, "{bytes}");
    }
}

/// C2: attackers with many client IPs cannot fill Redis with the counters of these.
#[tokio::test]
async fn client_ip_counters_are_bounded() {
    let app = TestApp::with(&[
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("LIMIT_MAX_COUNTERS", "100"),
        ("LIMIT_RESET_PASSWORD_IP", "60/60"),
    ])
    .await;
    for number in 0..MAX_COUNTERS + 20 {
        let body = json!({"token": "x", "new_password": PASSWORD});
        let client_ip = format!("192.0.2.{number}");
        let answer = post_later_from(&app, &client_ip, "/auth/reset_password/", body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let windows = keys_of(&app, "reset-password:ip:").await;
    assert_eq!(windows.len(), MAX_COUNTERS);
    assert!(windows.iter().any(|key| key.ends_with("192.0.2.119")));
    assert!(!windows.iter().any(|key| key.ends_with("192.0.2.19")));
}

/// C2: attackers cannot fill Redis with wrong codes, which share the bound with failed logins.
#[tokio::test]
async fn wrong_codes_for_unknown_emails_are_bounded() {
    let app = start().await;
    for number in 0..60 {
        try_code(&app, CLIENT_IP, &format!("unknown{number}@example.com")).await;
    }
    fail_unknown(&app, 60..80).await;
    let mut kept = 0;
    for kind in ["otp", "otp-ip", "failed"] {
        kept += counters(&app, kind).await.len();
    }
    assert_eq!(kept, MAX_COUNTERS);
    assert_eq!(counters(&app, "failed").await.len(), 20);
}

/// T3: attackers cannot reset the failed attempts of an account by a flood of unknown emails.
#[tokio::test]
async fn account_failures_outlast_a_flood() {
    let app = start().await;
    app.logged_in_user("ada@example.com").await;
    fail(&app, "ada@example.com").await;
    try_code(&app, CLIENT_IP, "ada@example.com").await;
    let before: Vec<_> = app.redis.keys().await;
    let before: BTreeSet<_> = before
        .into_iter()
        .filter(|key| key.contains(":email:"))
        .collect();
    assert_eq!(before.len(), 4, "{before:?}");
    // The worker has not looked up the account of the next attempt.
    let token = request_token(&app, CLIENT_IP, "ada@example.com").await;
    check_wrong(&app, CLIENT_IP, &token).await;
    for (_, entries, _) in lists(&app).await {
        assert!(entries.is_disjoint(&before), "{entries:?}");
    }

    fail_unknown(&app, 0..MAX_COUNTERS + 50).await;

    let after: BTreeSet<_> = app.redis.keys().await.into_iter().collect();
    assert!(before.is_subset(&after), "{before:?}");
    let remembered = counters(&app, "failed").await;
    let months = remembered.iter().filter(|(ends, _)| *ends > 29 * 86_400);
    assert_eq!(months.count(), 1);
}

/// C2: refusals of all networks of a /48 cause one audit event a minute and kind.
#[tokio::test]
async fn ipv6_site_refusals_are_recorded_once() {
    let app = start().await;
    for number in 0..20 {
        let body = json!({"token": "x", "new_password": PASSWORD});
        let client_ip = format!("2001:db8:1:{number:x}::1");
        post_later_from(&app, &client_ip, "/auth/reset_password/", body).await;
    }
    let keys = app.redis.keys().await;
    let recorded = keys.iter().filter(|key| key.contains(":audited:"));
    assert_eq!(recorded.count(), 1, "{keys:?}");
}

/// C2: after a login, Redis stores only the counter of the client IP.
#[tokio::test]
async fn successful_login_clears_the_accounts_counters() {
    let app = start().await;
    app.logged_in_user("ada@example.com").await;
    fail(&app, "ada@example.com").await;
    app.login("ada@example.com", PASSWORD).await;
    assert_eq!(counters(&app, "failed_attempts").await, []);
    assert_eq!(counters(&app, "failed").await, []);
    for (_, entries, _) in lists(&app).await {
        let of_account: Vec<_> = entries
            .iter()
            .filter(|key| key.contains(":email:"))
            .collect();
        assert_eq!(of_account, Vec::<&String>::new());
    }
}

/// T1: an unknown email is locked like a known one, so the lockout does not tell whether an account exists.
#[tokio::test]
async fn unknown_email_is_locked_after_last_failure() {
    let app = TestApp::with(&[("LIMIT_LOGIN_FAILURES", "3")]).await;
    app.logged_in_user("ada@example.com").await;
    for email in ["ada@example.com", "unknown@example.com"] {
        for _ in 0..3 {
            let answer = app.try_login(email, WRONG).await;
            answer.assert_problem(401, "invalid-credentials");
        }
        let answer = app.try_login(email, WRONG).await;
        answer.assert_problem(429, "too-many-requests");
    }
    let mut ends: Vec<_> = counters(&app, "failed").await;
    ends.sort_unstable();
    assert_eq!(ends[0].0, -1, "the lockout of the account has no end");
    assert!((0..=86_400).contains(&ends[1].0), "{ends:?}");
}
