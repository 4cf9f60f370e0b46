//! Nothing that a request does tells what kind of address it was given: the work is counted, because time is only ever
//! measured (`deploy/oracle`).

use std::collections::BTreeMap;

use latchkey_testing::{RedisServer, TestRedis};
use serde_json::{Value, json};

use crate::support::test_app::{ApiResponse, TestApp, registration};

/// What one request made others do, and what it was answered.
#[derive(Debug, PartialEq, Eq)]
struct Work {
    /// SQL, in its order.
    statements: Vec<String>,
    /// Redis commands, those of scripts included, each with how often.
    commands: BTreeMap<String, u64>,
    /// Passwords that were hashed.
    hashes: u64,
    status: u16,
    headers: Vec<String>,
    /// The answer's members, each with how long its value is.
    body: Vec<(String, usize)>,
}

/// A Redis of the test's own, in which nobody else's commands are counted.
async fn start() -> (RedisServer, TestApp, [&'static str; 4]) {
    start_with(&[]).await
}

async fn start_with(more: &[(&str, &str)]) -> (RedisServer, TestApp, [&'static str; 4]) {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, more).await;
    // All of one length, as is everything that an answer or a row repeats of them.
    let [known, waiting, shut] = ["known@x.example", "waits@x.example", "shut1@x.example"];
    for email in [known, waiting, shut] {
        app.register(email).await;
    }
    app.activate(known).await;
    app.activate(shut).await;
    app.deactivate(shut).await;
    (redis, app, [known, waiting, shut, "other@x.example"])
}

/// What one request of a kind costs, which is the same for every address, however often it is asked.
async fn costs_the_same(app: &TestApp, path: &str, more: Value, addresses: [&str; 4]) -> Work {
    let body = |email: &str| {
        let mut body = more.clone();
        body["email"] = email.into();
        body
    };
    // The first of all loads the script, and makes what is made once.
    app.post(path, body("first@x.example")).await;
    let mut first = None;
    for round in 1..=3 {
        let mut works = Vec::new();
        for email in addresses {
            works.push((email, work_of(app, path, body(email)).await));
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

async fn work_of(app: &TestApp, path: &str, body: Value) -> Work {
    let (commands, hashes) = (commands(app).await, app.password_hash_count());
    app.statements.take();
    let answer = app.post(path, body).await;
    let (statements, after) = (app.statements.take(), self::commands(app).await);
    let commands = after
        .into_iter()
        .map(|(name, count)| {
            let before = commands.get(&name).copied().unwrap_or_default();
            (name, count - before)
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    Work {
        statements,
        commands,
        hashes: app.password_hash_count() - hashes,
        status: answer.status.as_u16(),
        headers: answer.headers.keys().map(ToString::to_string).collect(),
        body: lengths(&answer),
    }
}

fn lengths(answer: &ApiResponse) -> Vec<(String, usize)> {
    let members = answer.body.as_object().unwrap();
    members
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string().len()))
        .collect()
}

/// How often each command was called since Redis started, but for those that no request causes.
async fn commands(app: &TestApp) -> BTreeMap<String, u64> {
    let text: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut app.redis.connection())
        .await
        .unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(name, figures)| {
            let calls = figures.split(',').next().unwrap().parse().unwrap();
            (name.to_owned(), calls)
        })
        .filter(|(name, _)| !["info", "ping"].contains(&name.as_str()))
        .collect()
}

/// N1, N4: The API does the same work for a reset request whether the email has an account or not.
#[tokio::test]
async fn reset_request_work_is_same_for_every_email() {
    let (_redis, app, addresses) = start().await;
    let work = costs_the_same(&app, "/auth/email_request/", json!({}), addresses).await;
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
    let (_redis, app, addresses) = start().await;
    let wrong = json!({"password": "another quiet morning"});
    let work = costs_the_same(&app, "/api/login/", wrong, addresses).await;
    assert_eq!((work.status, work.hashes), (401, 1), "{work:?}");
    assert!(
        work.statements.len() >= 2 && work.commands["hincrby"] == 2,
        "{work:?}"
    );
}

/// N2, C2: Failed logins cost the same while the limiter evicts older counters.
#[tokio::test]
async fn failed_login_work_during_flood_is_the_same() {
    let (_redis, app, addresses) = start_with(&[("LIMIT_MAX_COUNTERS", "100")]).await;
    for number in 0..110 {
        let email = format!("invented{number}@x.example");
        app.try_login(&email, "another quiet morning").await;
    }
    let wrong = json!({"password": "another quiet morning"});
    let work = costs_the_same(&app, "/api/login/", wrong, addresses).await;
    assert_eq!((work.status, work.hashes), (401, 1), "{work:?}");
}

/// With `REGISTRATION_PRIVACY=on`, a taken email costs what a new one costs, except for the row of the account.
#[tokio::test]
async fn private_registration_work_differs_only_by_row() {
    for activation in ["admin", "email"] {
        registers_the_same(activation).await;
    }
}

async fn registers_the_same(activation: &str) {
    let redis = RedisServer::start().await;
    let more = [("REGISTRATION_PRIVACY", "on"), ("ACTIVATION", activation)];
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &more).await;
    app.register("taken@x.example").await;
    let form = |email: &str| registration(email);
    work_of(&app, "/api/register/", form("first@x.example")).await;

    for number in 1..=3 {
        let taken = work_of(&app, "/api/register/", form("taken@x.example")).await;
        let email = format!("new{number:02}@x.example");
        let mut new = work_of(&app, "/api/register/", form(&email)).await;

        let row = |statement: &String| statement.starts_with("INSERT INTO \"users\"");
        assert_eq!(new.statements.iter().filter(|it| row(it)).count(), 1);
        new.statements.retain(|statement| !row(statement));
        assert_eq!(taken, new, "round {number}");
        assert_eq!((taken.status, taken.hashes), (201, 1), "{taken:?}");
    }
}
