//! The work of a request does not reveal whether its email has an account. The tests count SQL statements, Redis commands
//! and hashes, because a duration cannot be asserted exactly (`deploy/oracle` measures it).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use latchkey_testing::{RedisServer, TestRedis};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp, code_in, registration, wrong_code};

/// The work that one request caused, and the shape of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    /// SQL statements in execution order.
    statements: Vec<String>,
    /// Number of calls of each Redis command, including those of scripts.
    commands: BTreeMap<String, u64>,
    /// Passwords that were hashed.
    hashes: u64,
    /// Number of computations of each hash function.
    functions: BTreeMap<String, u64>,
    status: u16,
    headers: Vec<String>,
    /// The keys of the response, each with the length of its value.
    body: Vec<(String, usize)>,
}

/// Starts an application on its own Redis server, so that only its commands are counted.
async fn start() -> (RedisServer, TestApp, [&'static str; 4]) {
    start_with(&[]).await
}

async fn start_with(more: &[(&str, &str)]) -> (RedisServer, TestApp, [&'static str; 4]) {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, more).await;
    // Emails of one length, so that responses and rows have equal lengths.
    let [known, pending, deactivated] = ["known@x.example", "waits@x.example", "shut1@x.example"];
    for email in [known, pending, deactivated] {
        app.register(email).await;
    }
    app.activate(known).await;
    app.activate(deactivated).await;
    app.deactivate(deactivated).await;
    (redis, app, [known, pending, deactivated, "other@x.example"])
}

/// Asserts that a request costs the same for every email in each of three rounds, and returns its work.
async fn assert_same_work(app: &TestApp, path: &str, more: Value, emails: &[&str]) -> Work {
    let body = |email: &str| {
        let mut body = more.clone();
        body["email"] = email.into();
        body
    };
    // The first request loads the script and fills caches.
    app.post(path, body("first@x.example")).await;
    let mut first = None;
    for round in 1..=3 {
        let mut works = Vec::new();
        for email in emails {
            works.push((email, measure_work(app, path, body(email)).await));
        }
        for (email, work) in &works {
            assert_eq!(
                work, &works[0].1,
                "{path}, round {round}: {email} and {}",
                works[0].0
            );
        }
        first = first.or(works.into_iter().next());
    }
    first.unwrap().1
}

async fn measure_work(app: &TestApp, path: &str, body: Value) -> Work {
    measure_request(app, app.request(Method::POST, path).json(&body)).await
}

async fn measure_request(app: &TestApp, request: RequestBuilder) -> Work {
    let (before, hashes) = (commands(app).await, app.password_hash_count());
    let functions = app.hash_functions();
    let checked = connection_check_ttl(app).await;
    app.statements.take();
    let answer = app.send(request).await;
    let (statements, after) = (app.statements.take(), commands(app).await);
    let mut commands = increase(&before, after);
    if connection_check_ttl(app).await > checked {
        // The check of the connections ran meanwhile, every two seconds.
        commands.remove("set");
    }
    Work {
        statements,
        commands,
        functions: increase(&functions, app.hash_functions()),
        hashes: app.password_hash_count() - hashes,
        status: answer.status.as_u16(),
        headers: answer.headers.keys().map(ToString::to_string).collect(),
        body: lengths(&answer),
    }
}

/// Returns how often each count was increased, if at all.
fn increase(before: &BTreeMap<String, u64>, after: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after
        .into_iter()
        .map(|(name, count)| {
            let before = before.get(&name).copied().unwrap_or_default();
            (name, count - before)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn lengths(answer: &ApiResponse) -> Vec<(String, usize)> {
    let members = answer.body.as_object().unwrap();
    members
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string().len()))
        .collect()
}

/// The remaining lifetime of the key that each check of a connection sets, in milliseconds.
async fn connection_check_ttl(app: &TestApp) -> i64 {
    let key = format!("{}:health", app.redis.namespace());
    let ttl = redis::cmd("PTTL").arg(key).to_owned();
    ttl.query_async(&mut app.redis.connection()).await.unwrap()
}

/// Number of calls of each command since Redis started, except for those that no request causes.
async fn commands(app: &TestApp) -> BTreeMap<String, u64> {
    let text: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut app.redis.connection())
        .await
        .unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(name, metrics)| {
            let calls = metrics.split(',').next().unwrap().parse().unwrap();
            (name.to_owned(), calls)
        })
        .filter(|(name, _)| !["info", "ping", "pttl"].contains(&name.as_str()))
        .collect()
}

/// N1, N4: The API does the same work for a reset request whether the email has an account or not.
#[tokio::test]
async fn reset_request_work_is_same_for_every_email() {
    let (_redis, app, emails) = start().await;
    let work = assert_same_work(&app, "/auth/email_request/", json!({}), &emails).await;
    assert_eq!((work.status, work.hashes), (201, 0), "{work:?}");
    assert!(
        !work
            .statements
            .iter()
            .any(|statement| statement.contains("\"users\"")),
        "{work:?}"
    );
    assert!(
        work.statements.len() >= 2 && work.commands["pexpire"] == 1,
        "{work:?}"
    );
}

/// N2, N4: Every failed login costs one lookup, one hash and one audit event.
#[tokio::test]
async fn failed_login_work_is_same_for_every_email() {
    let (_redis, app, emails) = start().await;
    let wrong = json!({"password": "another quiet morning"});
    let work = assert_same_work(&app, "/api/login/", wrong, &emails).await;
    assert_eq!((work.status, work.hashes), (401, 1), "{work:?}");
    assert!(
        work.statements.len() >= 2 && work.commands["hincrby"] == 2,
        "{work:?}"
    );
}

/// N2: While imported accounts have old hashes, a failed login computes one of each function, whatever the account has.
#[tokio::test]
async fn failed_login_work_with_old_hashes_is_same() {
    for (password, count) in [("another quiet morning", 1), (" another quiet morning ", 2)] {
        let cheap = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")];
        let (_redis, app, [known, pending, deactivated, unknown]) = start_with(&cheap).await;
        let [old, older] = ["old01@x.example", "old02@x.example"];
        for email in [old, older] {
            app.register(email).await;
            app.activate(email).await;
        }
        let digest = |length| STANDARD.encode(vec![1; length]);
        let sha256 = format!("pbkdf2_sha256$1000$salt${}", digest(32));
        let sha1 = format!("pbkdf2_sha1$1000$salt${}", digest(20));
        for (email, hash) in [(old, &sha256), (older, &sha1), (deactivated, &sha256)] {
            app.set_password_hash(email, hash).await;
        }
        let emails = [known, pending, deactivated, unknown, old, older];
        let wrong = json!({"password": password});
        let work = assert_same_work(&app, "/api/login/", wrong, &emails).await;
        assert_eq!(work.status, 401, "{work:?}");
        let functions = [
            ("argon2id", 1),
            ("pbkdf2_sha1", count),
            ("pbkdf2_sha256", count),
        ];
        let functions = functions.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(work.functions, BTreeMap::from(functions), "{work:?}");
    }
}

/// N2, C2: Failed logins cost the same while the limiter evicts older counters.
#[tokio::test]
async fn failed_login_work_during_flood_is_the_same() {
    let (_redis, app, emails) = start_with(&[("LIMIT_MAX_COUNTERS", "100")]).await;
    for number in 0..110 {
        let email = format!("invented{number}@x.example");
        app.try_login(&email, "another quiet morning").await;
    }
    let wrong = json!({"password": "another quiet morning"});
    let work = assert_same_work(&app, "/api/login/", wrong, &emails).await;
    assert_eq!((work.status, work.hashes), (401, 1), "{work:?}");
}

/// N1, N4: a request for another activation code costs the same for the token of a new account, of a taken email and of an activated
/// account, also after the worker has looked their emails up.
#[tokio::test]
async fn activation_resend_work_is_same_for_every_email() {
    let redis = RedisServer::start().await;
    let more = [("REGISTRATION_PRIVACY", "on"), ("ACTIVATION", "email")];
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &more).await;
    let mut tokens = Vec::new();
    for email in ["taken@x.example", "owner@x.example"] {
        tokens.push(app.register(email).await.text("/activation_token"));
    }
    app.activate("owner@x.example").await;
    for email in ["taken@x.example", "owner@x.example"] {
        tokens.push(app.register(email).await.text("/activation_token"));
    }
    let path = "/auth/activate/resend/";
    measure_work(&app, path, json!({"token": &tokens[0]})).await;
    for round in 1..=3 {
        let mut first = None;
        for (number, token) in tokens.iter().enumerate() {
            let work = measure_work(&app, path, json!({"token": token})).await;
            assert_eq!((work.status, work.hashes), (201, 0), "{work:?}");
            let first = first.get_or_insert_with(|| work.clone());
            assert_eq!(work, *first, "round {round}, token {number}");
            let of_users = |statement: &&String| statement.contains("\"users\"");
            assert_eq!(work.statements.iter().find(of_users), None);
        }
        app.deliver_all().await;
    }
}

/// Asserts that all requests have this status and cost the same.
fn assert_same(works: &[(&str, Work)], status: u16) {
    for (email, work) in works {
        assert_eq!(work.status, status, "{work:?}");
        assert_eq!(work, &works[0].1, "{email} and {}", works[0].0);
    }
}

/// N4: with `EMAIL_CHANGE=confirm`, a request for another email, or for another code to it, costs the same whether the email has an
/// account or not, also after the worker has looked it up.
#[tokio::test]
async fn email_change_work_is_same_for_every_email() {
    let (_redis, app, emails) = start_with(&[
        ("EMAIL_CHANGE", "confirm"),
        ("LIMIT_EMAIL_CHANGE", "100/3600"),
        ("LIMIT_RESET_IP", "100/3600"),
    ])
    .await;
    let owner = app.logged_in_user("owner@x.example").await;
    let send = async |method, path, body: Value| {
        let request = app.request(method, path).bearer_auth(&owner.access);
        measure_request(&app, request.json(&body)).await
    };
    for round in 0..=3 {
        let (mut changes, mut resends) = (Vec::new(), Vec::new());
        for email in emails {
            let body = json!({"email": email, "password": PASSWORD});
            let change = send(Method::PATCH, "/api/user/", body).await;
            assert_eq!(change.hashes, 1, "{change:?}");
            changes.push((email, change));
            let path = "/auth/confirm_email/resend/";
            resends.push((email, send(Method::POST, path, json!({})).await));
        }
        // The first round loads scripts and fills caches.
        if round > 0 {
            assert_same(&changes, 200);
            assert_same(&resends, 201);
        }
        app.deliver_all().await;
    }
}

/// N4: a wrong code for a new email costs the same whether the email has an account, and therefore got no code, or not.
#[tokio::test]
async fn email_confirmation_work_is_same_for_every_email() {
    let (_redis, app, emails) = start_with(&[("EMAIL_CHANGE", "confirm")]).await;
    let mut tokens = Vec::new();
    for (number, email) in emails.into_iter().enumerate() {
        let owner = app
            .logged_in_user(&format!("owner{number}@x.example"))
            .await;
        let body = json!({"email": email, "password": PASSWORD});
        let answer = app.patch_user(&owner.access, body).await;
        let token = &answer.headers["email-confirmation-token"];
        tokens.push((email, token.to_str().unwrap().to_owned()));
    }
    let code = code_in(app.mails_to(emails[3]).await.last().unwrap());
    assert_same_checks(&app, "/auth/confirm_email/", &tokens, &wrong_code(&code)).await;
}

/// N1, N4: a wrong code of a password reset costs the same whether the email has an account, and therefore got a code, or not.
#[tokio::test]
async fn reset_check_work_is_same_for_every_email() {
    let (_redis, app, emails) = start().await;
    let mut tokens = Vec::new();
    for email in emails {
        tokens.push((email, app.request_reset_token(email).await));
    }
    let code = code_in(app.mails_to(emails[0]).await.last().unwrap());
    assert_same_checks(&app, "/auth/check_otp/", &tokens, &wrong_code(&code)).await;
}

/// Asserts that a wrong code costs the same with each token.
async fn assert_same_checks(app: &TestApp, path: &str, tokens: &[(&str, String)], code: &str) {
    for round in 0..=3 {
        let mut works = Vec::new();
        for (email, token) in tokens {
            let body = json!({"token": token, "otp": code});
            works.push((*email, measure_work(app, path, body).await));
        }
        // The first round loads scripts and fills caches.
        if round > 0 {
            assert_same(&works, 400);
        }
    }
}

/// With `REGISTRATION_PRIVACY=on`, a taken email costs what a new one costs, except for the row of the account.
#[tokio::test]
async fn private_registration_work_differs_only_by_row() {
    for activation in ["admin", "email"] {
        assert_registrations_cost_the_same(activation).await;
    }
}

async fn assert_registrations_cost_the_same(activation: &str) {
    let redis = RedisServer::start().await;
    let more = [("REGISTRATION_PRIVACY", "on"), ("ACTIVATION", activation)];
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &more).await;
    app.register("taken@x.example").await;
    let form = |email: &str| registration(email);
    measure_work(&app, "/api/register/", form("first@x.example")).await;

    for number in 1..=3 {
        let taken = measure_work(&app, "/api/register/", form("taken@x.example")).await;
        let email = format!("new{number:02}@x.example");
        let mut new = measure_work(&app, "/api/register/", form(&email)).await;

        let row = |statement: &String| statement.starts_with("INSERT INTO \"users\"");
        assert_eq!(new.statements.iter().filter(|it| row(it)).count(), 1);
        new.statements.retain(|statement| !row(statement));
        assert_eq!(taken, new, "round {number}");
        assert_eq!((taken.status, taken.hashes), (201, 1), "{taken:?}");
    }
}
