//! What failed logins leave in Redis is bounded (C2), and what accounts need of it stays (T3).

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::json;

use crate::world::{PASSWORD, World};

const WRONG: &str = "a wrong password";
const CLIENT_IP: &str = "192.0.2.1";

/// Addresses without an account whose failures one client IP keeps for a day: the bound of `deploy/docs/security.md`.
const MOST_ADDRESSES: usize = 500;
/// What one counter of failed logins takes at most, with its key, in bytes: the bound of `deploy/docs/security.md`.
const COUNTER_BYTES: u64 = 250;

async fn world() -> World {
    World::with(&[("TRUSTED_PROXIES", "127.0.0.0/8")]).await
}

async fn fail(world: &World, email: &str) {
    let body = json!({"email": email, "password": WRONG});
    let request = world.request(Method::POST, "/api/login/");
    let request = request.header("x-forwarded-for", CLIENT_IP).json(&body);
    let answer = world.send(request).await;
    answer.is_problem(401, "invalid-credentials");
}

/// Fails a login for so many addresses that have no account.
async fn fail_invented(world: &World, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(16, |number| async move {
            fail(world, &format!("invented{number}@example.com")).await;
        })
        .await;
}

/// Each counter of one kind, with the seconds until it ends (-1 for never) and its size in bytes.
async fn counters(world: &World, kind: &str) -> Vec<(i64, u64)> {
    let part = format!(":limit:{kind}:email:");
    let keys = world.redis.keys().await;
    let mut counters = Vec::new();
    for key in keys.iter().filter(|key| key.contains(&part)) {
        let mut both = redis::pipe();
        both.cmd("TTL").arg(key);
        both.cmd("MEMORY").arg("USAGE").arg(key);
        let mut redis = world.redis.connection();
        counters.push(both.query_async(&mut redis).await.unwrap());
    }
    counters
}

/// C2: failed logins on invented addresses end within an hour and a day, in bounded numbers and bytes.
#[tokio::test]
async fn failed_logins_on_invented_addresses_are_bounded() {
    let world = world().await;
    fail_invented(&world, MOST_ADDRESSES + 100).await;

    let waits = counters(&world, "failed_attempts").await;
    assert_eq!(waits.len(), MOST_ADDRESSES + 100);
    assert!(waits.iter().all(|(ends, _)| (0..=3600).contains(ends)));
    let remembered = counters(&world, "failed").await;
    assert_eq!(remembered.len(), MOST_ADDRESSES);
    assert!(
        remembered
            .iter()
            .all(|(ends, _)| (0..=86_400).contains(ends))
    );
    for (_, bytes) in waits.iter().chain(&remembered) {
        assert!(*bytes <= COUNTER_BYTES, "{bytes}");
    }
    let keys = world.redis.keys().await;
    let ring = keys.iter().find(|key| key.contains(":limit:failed:ip:"));
    let mut redis = world.redis.connection();
    let (ends, entries): (i64, usize) = redis::pipe()
        .cmd("TTL")
        .arg(ring)
        .cmd("ZCARD")
        .arg(ring)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!((0..=86_400).contains(&ends), "{ends}");
    assert_eq!(entries, MOST_ADDRESSES);
}

/// T3: no flood of invented addresses makes the service forget the failures of an account.
#[tokio::test]
async fn failures_of_an_account_outlast_a_flood() {
    let world = world().await;
    world.somebody("ada@example.com").await;
    fail(&world, "ada@example.com").await;

    fail_invented(&world, MOST_ADDRESSES + 50).await;

    let remembered = counters(&world, "failed").await;
    let months = remembered.iter().filter(|(ends, _)| *ends > 29 * 86_400);
    assert_eq!(months.count(), 1);
}

/// A login that succeeds leaves no counter but that of its client IP.
#[tokio::test]
async fn a_login_that_succeeds_leaves_no_counter_of_the_account() {
    let world = world().await;
    world.somebody("ada@example.com").await;
    fail(&world, "ada@example.com").await;
    world.login("ada@example.com", PASSWORD).await;
    assert_eq!(counters(&world, "failed_attempts").await, []);
    assert_eq!(counters(&world, "failed").await, []);
}

/// T1: an address without an account comes to the end of its tries like one with.
#[tokio::test]
async fn an_invented_address_is_locked_after_the_last_failure_too() {
    let world = World::with(&[("LIMIT_LOGIN_FAILURES", "3")]).await;
    world.somebody("ada@example.com").await;
    for email in ["ada@example.com", "invented@example.com"] {
        for _ in 0..3 {
            let answer = world.try_login(email, WRONG).await;
            answer.is_problem(401, "invalid-credentials");
        }
        let answer = world.try_login(email, WRONG).await;
        answer.is_problem(429, "too-many-requests");
    }
    let mut ends: Vec<_> = counters(&world, "failed").await;
    ends.sort_unstable();
    assert_eq!(ends[0].0, -1, "the account's lock has no end");
    assert!((0..=86_400).contains(&ends[1].0), "{ends:?}");
}
