//! While Redis refuses writes, notices are delivered without the queue, and codes are deferred with the reason.

use latchkey_shared::models::mail::{MailKind, MailState};
use latchkey_testing::{Forwarder, PATIENCE, RedisRefusal, RedisServer, TestRedis};
use tokio::time::{Duration, sleep, timeout};

use crate::world::World;

/// Creates a world with its own Redis.
async fn on(url: &str) -> World {
    let mut world = World::new().await;
    world.redis = TestRedis::at(url).await;
    let namespace = world.redis.namespace().to_owned();
    world.set("REDIS_URL", url);
    world.set("REDIS_NAMESPACE", &namespace);
    world.connections.queue = world.redis.queue().await;
    world.connections.redis = latchkey_shared::redis::connect(url, &namespace)
        .await
        .expect("a Redis of the test's own");
    world
}

/// Waits until the row of a mail has the reason.
async fn wait_for_reason(world: &World, reason: &str) {
    let told = async {
        while !world.rows().await.iter().any(|mail| {
            let said = mail.last_error.as_deref().unwrap_or_default();
            said.contains(reason)
        }) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(PATIENCE, told).await.is_ok(),
        "no {reason:?} in {:#?}",
        world.rows().await
    );
}

/// R2
#[tokio::test]
async fn redis_refusing_writes_delays_only_codes() {
    let redis = RedisServer::start().await;
    let mut world = on(&redis.url()).await;
    let user = world.user("ada@example.com").await;
    let worker = world.worker(4);
    for (round, (refusal, word)) in [
        (RedisRefusal::Full, "no code: Redis (out of memory)"),
        (RedisRefusal::Replica, "no budget: Redis (read-only)"),
        (
            RedisRefusal::CannotPersist,
            "no budget: Redis (cannot persist)",
        ),
        // Meanwhile the Redis client of the codes reconnects.
        (RedisRefusal::Password, "no budget"),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, pushed) = world.write_reset("ada@example.com").await;
        world.outbox().wake(pushed).await;
        world.wait_for(MailState::Sent, round * 4 + 1).await;

        redis.refuse(refusal).await;
        let notices = [
            MailKind::Welcome,
            MailKind::Activated,
            MailKind::PasswordChanged,
            MailKind::EmailChanged,
        ];
        world.notice(notices[round], &user).await;
        world.reset("ada@example.com").await;

        world.wait_for(MailState::Sent, round * 4 + 2).await;
        wait_for_reason(&world, word).await;

        redis.accept(refusal).await;
        world.wait_for(MailState::Sent, round * 4 + 3).await;
        // The worker uses the queue again.
        let (_, pushed) = world.write_reset("ada@example.com").await;
        world.outbox().wake(pushed).await;
        world.wait_for(MailState::Sent, round * 4 + 4).await;
    }
    worker.stop(PATIENCE).await;
}

/// The name of Redis resolves to a new primary. The old one continues as a replica with its connections.
#[tokio::test]
async fn redis_failover_behind_name_delivers_codes() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let (line, url) = Forwarder::before(&old.url()).await;
    let mut world = on(&url).await;
    world.user("ada@example.com").await;
    let worker = world.worker(2);

    line.redirect(&new.url());
    old.refuse(RedisRefusal::Replica).await;
    world.reset("ada@example.com").await;

    world.wait_for(MailState::Sent, 1).await;
    worker.stop(PATIENCE).await;
}

/// Log, metrics, readiness and `doctor` agree.
#[tokio::test]
async fn redis_full_is_reported_with_remedy() {
    let redis = RedisServer::start().await;
    let mut world = on(&redis.url()).await;
    world.clock = latchkey_shared::clock::Clock::system();
    let user = world.user("ada@example.com").await;
    let (mut worker, base) = world.process_with_metrics(&[]).await;

    redis.refuse(RedisRefusal::Full).await;
    world.notice(MailKind::Welcome, &user).await;
    world.wait_for(MailState::Sent, 1).await;

    let line = worker.wait_for_line("Relay failed").await;
    assert!(
        line.contains("out of memory") && line.contains("maxmemory"),
        "{line}"
    );
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, body) = get("/health/ready").await;
    let expected = r#"{"status":"degraded","database":"ok","redis":"out of memory","smtp":"ok"}"#;
    assert_eq!((status, body.as_str()), (200, expected));
    let (_, metrics) = get("/metrics").await;
    for line in [
        r#"latchkey_dependency_up{dependency="redis"} 0"#,
        r#"latchkey_dependency_up{dependency="database"} 1"#,
        "latchkey_relay_direct_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    let (code, text) = world.process(&["doctor"]).output().await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("failure  redis     out of memory") && text.contains("raise maxmemory"),
        "{text}"
    );
}

/// T5: the rows limit notices that Redis cannot count.
#[tokio::test]
async fn read_only_redis_notices_stay_within_budget() {
    let redis = RedisServer::start().await;
    let mut world = on(&redis.url()).await;
    for (key, limit) in [
        ("LIMIT_MAIL_CAUSE", "3/3600"),
        ("LIMIT_MAIL_HOUR", "10/3600"),
    ] {
        world.set(key, limit);
    }
    let user = world.user("ada@example.com").await;
    redis.refuse(RedisRefusal::Replica).await;
    for _ in 0..10 {
        world.notice(MailKind::TokenReplayed, &user).await;
    }

    let worker = world.worker(4);

    wait_for_reason(&world, "no budget: Redis (read-only)").await;
    world.wait_for(MailState::Sent, 3).await;
    redis.accept(RedisRefusal::Replica).await;
    world.wait_for(MailState::Suppressed, 4).await;
    worker.stop(PATIENCE).await;
    // Three by the rows, and three by Redis.
    assert_eq!(world.sink.mails().len(), 6);
}
