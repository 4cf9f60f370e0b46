//! While Redis refuses writes, notices are delivered without the queue, and codes are deferred with the reason.

use latchkey_shared::models::mail::{self, MailKind, MailState};
use latchkey_testing::{Forwarder, RedisRefusal, RedisServer, WAIT_TIMEOUT, wait_for, wait_until};
use redis::AsyncCommands as _;

use crate::test_app::{TestApp, get};

/// Creates an app with its own Redis.
pub(crate) async fn on(url: &str) -> TestApp {
    let mut app = TestApp::new().await;
    app.use_redis(url).await;
    app.connections.redis = latchkey_shared::redis::connect(url, app.redis.namespace())
        .await
        .unwrap();
    app
}

/// Waits until the row of a mail has the reason.
async fn wait_for_reason(app: &TestApp, reason: &str) {
    let has_reason = |mail: &mail::Model| {
        let error = mail.last_error.as_deref().unwrap_or_default();
        error.contains(reason)
    };
    let rows = async || app.rows().await;
    wait_for(reason, rows, |rows| rows.iter().any(has_reason)).await;
}

/// R2: while Redis refuses writes, notices are delivered and only codes wait.
#[tokio::test]
async fn redis_refusing_writes_delays_only_codes() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    let user = app.user("ada@example.com").await;
    let worker = app.worker(4);
    for (round, (refusal, word)) in [
        (RedisRefusal::Full, "no code: Redis (out of memory)"),
        (RedisRefusal::Replica, "no budget: Redis (read-only)"),
        (
            RedisRefusal::CannotPersist,
            "no budget: Redis (cannot persist)",
        ),
        (
            RedisRefusal::Forbidden("-zadd"),
            "no budget: Redis (not permitted)",
        ),
        // Time for the Redis client of the codes to reconnect.
        (RedisRefusal::Password, "no budget"),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, pushed) = app.write_reset("ada@example.com").await;
        app.outbox().notify_worker(pushed).await;
        app.wait_for(MailState::Sent, round * 4 + 1).await;

        redis.refuse(refusal).await;
        let notices = [
            MailKind::Welcome,
            MailKind::Activated,
            MailKind::PasswordChanged,
            MailKind::EmailChanged,
            MailKind::TokenReused,
        ];
        app.notice(notices[round], &user).await;
        app.reset("ada@example.com").await;

        app.wait_for(MailState::Sent, round * 4 + 2).await;
        wait_for_reason(&app, word).await;

        redis.accept(refusal).await;
        app.wait_for(MailState::Sent, round * 4 + 3).await;
        // The worker uses the queue again.
        let (_, pushed) = app.write_reset("ada@example.com").await;
        app.outbox().notify_worker(pushed).await;
        app.wait_for(MailState::Sent, round * 4 + 4).await;
    }
    worker.stop(WAIT_TIMEOUT).await;
}

/// The name of Redis resolves to a new primary. The old one continues as a replica with its connections.
#[tokio::test]
async fn redis_failover_behind_name_delivers_codes() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let (forwarder, url) = Forwarder::start(&old.url()).await;
    let mut app = on(&url).await;
    app.user("ada@example.com").await;
    let worker = app.worker(2);

    forwarder.redirect(&new.url());
    old.refuse(RedisRefusal::Replica).await;
    app.reset("ada@example.com").await;

    app.wait_for(MailState::Sent, 1).await;
    worker.stop(WAIT_TIMEOUT).await;
}

/// Log, metrics, readiness and `doctor` agree.
#[tokio::test]
async fn redis_full_is_reported_with_remedy() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    app.clock = latchkey_shared::clock::Clock::system();
    let user = app.user("ada@example.com").await;
    let (mut worker, base) = app.process_with_metrics(&[]).await;

    redis.refuse(RedisRefusal::Full).await;
    app.notice(MailKind::Welcome, &user).await;
    app.wait_for(MailState::Sent, 1).await;

    let line = worker.wait_for_line("Dependency failed").await;
    assert!(
        line.contains("out of memory") && line.contains("maxmemory"),
        "{line}"
    );
    let (status, body) = get(&format!("{base}/health/ready")).await;
    let expected = r#"{"status":"degraded","database":"ok","redis":"out of memory","smtp":"ok"}"#;
    assert_eq!((status, body.as_str()), (200, expected));
    let (_, metrics) = get(&format!("{base}/metrics")).await;
    for line in [
        r#"latchkey_dependency_up{dependency="redis"} 0"#,
        r#"latchkey_dependency_up{dependency="database"} 1"#,
        "latchkey_relay_direct_deliveries_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    let (code, text) = app.process(&["doctor"]).output().await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("failure  redis     out of memory") && text.contains("raise maxmemory"),
        "{text}"
    );
}

/// R2: a Redis that answers `SET` and refuses scripts or single commands is degraded, and logged once.
#[tokio::test]
async fn redis_forbidding_commands_is_reported_once() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    app.clock = latchkey_shared::clock::Clock::system();
    let user = app.user("ada@example.com").await;
    let (worker, base) = app.process_with_metrics(&[]).await;
    let readiness = async || get(&format!("{base}/health/ready")).await.1;
    let forbidden = [
        ("-@scripting", MailKind::Welcome),
        ("-zadd", MailKind::Activated),
    ];
    for (round, (rule, kind)) in forbidden.into_iter().enumerate() {
        redis.refuse(RedisRefusal::Forbidden(rule)).await;
        app.notice(kind, &user).await;
        app.wait_for(MailState::Sent, 2 * round + 1).await;
        wait_until(async || readiness().await.contains(r#""redis":"not permitted""#)).await;
        let (code, text) = app.process(&["doctor"]).output().await;
        assert_eq!(code, Some(1), "{rule}: {text}");
        assert!(text.contains("failure  redis     not permitted"), "{text}");
        assert!(text.contains("ACL SETUSER"), "{text}");

        redis.accept(RedisRefusal::Forbidden(rule)).await;
        wait_until(async || readiness().await.contains(r#""redis":"ok""#)).await;
        app.reset("ada@example.com").await;
        app.wait_for(MailState::Sent, 2 * round + 2).await;
    }
    let lines = worker.lines();
    let failures = lines
        .iter()
        .filter(|line| line.contains("Dependency failed"));
    assert_eq!(failures.count(), forbidden.len(), "{lines:#?}");
}

/// R2: operators find one log line for the beginning of an outage and one for its end, however many mails wait, and without a
/// health check by a probe.
#[tokio::test]
async fn redis_outage_is_logged_once_for_all_mails() {
    let mut redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    app.clock = latchkey_shared::clock::Clock::system();
    app.users(3).await;
    let mut worker = app.process(&[]);
    worker.wait_for_line("Worker ready").await;
    let refusals = [
        (Some(RedisRefusal::Full), "raise maxmemory"),
        (Some(RedisRefusal::Replica), "REPLICAOF NO ONE"),
        (Some(RedisRefusal::Forbidden("-zadd")), "ACL SETUSER"),
        (Some(RedisRefusal::TooManyClients), "raise maxclients"),
        (None, "Redis (unreachable)"),
    ];
    for (round, (refusal, remedy)) in refusals.into_iter().enumerate() {
        match refusal {
            Some(refusal) => redis.refuse(refusal).await,
            None => redis.kill().await,
        }
        app.request_resets(3).await;
        worker.wait_for_line(remedy).await;
        let has_waited = |mail: &&mail::Model| mail.attempts > 1;
        let rows = async || app.rows().await;
        wait_for("all mails wait", rows, |rows| {
            let queued = rows.iter().filter(|it| it.state == MailState::Queued);
            queued.filter(has_waited).count() == 3
        })
        .await;

        match refusal {
            Some(refusal) => redis.accept(refusal).await,
            None => redis.restart().await,
        }
        app.wait_for(MailState::Sent, 3 * (round + 1)).await;
        wait_until(async || {
            let lines = worker.lines();
            let ends = lines
                .iter()
                .filter(|it| it.contains("Dependency works again"));
            ends.count() == round + 1
        })
        .await;
    }
    let lines = worker.lines();
    let is_loud = |line: &&String| line.contains(" WARN ") || line.contains(" ERROR ");
    let loud: Vec<_> = lines.iter().filter(is_loud).collect();
    // A killed Redis may break a connection before it refuses new ones: another reason of the same kind, which is logged, too.
    let kind = |line: &&String| {
        line.split_once('(')
            .map(|(_, rest)| rest.split(')').next().map(str::to_owned))
    };
    let mut kinds: Vec<_> = loud.iter().map(kind).collect();
    kinds.dedup();
    assert_eq!(kinds.len(), refusals.len(), "{loud:#?}");
    assert!(loud.len() <= refusals.len() + 1, "{loud:#?}");
    worker.kill().await;
}

/// R2: `doctor` names the limit of clients, not the connection that it breaks.
#[tokio::test]
async fn redis_accepting_no_client_doctor_names_maxclients() {
    let redis = RedisServer::start().await;
    let app = on(&redis.url()).await;
    redis.refuse(RedisRefusal::TooManyClients).await;

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("failure  redis     too many clients") && text.contains("raise maxclients"),
        "{text}"
    );
}

/// R2: the log names the limit of clients, too.
#[tokio::test]
async fn redis_accepting_no_client_log_names_maxclients() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    app.clock = latchkey_shared::clock::Clock::system();
    let (mut worker, base) = app.process_with_metrics(&[]).await;
    redis.refuse(RedisRefusal::TooManyClients).await;

    let readiness = async || get(&format!("{base}/health/ready")).await.1;
    wait_until(async || readiness().await.contains("too many clients")).await;
    worker.wait_for_line("Dependency failed").await;

    let lines = worker.lines();
    let is_loud =
        |line: &&String| line.contains("ERROR latchkey") || line.contains("WARN latchkey");
    for line in lines.iter().filter(is_loud) {
        assert!(line.contains("raise maxclients"), "{line}");
    }
    redis.accept(RedisRefusal::TooManyClients).await;
    worker.wait_for_line("Dependency works again").await;
    worker.kill().await;
}

/// T5: the rows limit notices that Redis cannot count.
#[tokio::test]
async fn read_only_redis_notices_stay_within_budget() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    for (key, limit) in [
        ("LIMIT_MAIL_CAUSE", "3/3600"),
        ("LIMIT_MAIL_HOUR", "10/3600"),
    ] {
        app.set(key, limit);
    }
    let user = app.user("ada@example.com").await;
    redis.refuse(RedisRefusal::Replica).await;
    for _ in 0..10 {
        app.notice(MailKind::TokenReused, &user).await;
    }

    let worker = app.worker(4);

    wait_for_reason(&app, "no budget: Redis (read-only)").await;
    app.wait_for(MailState::Sent, 3).await;
    redis.accept(RedisRefusal::Replica).await;
    app.wait_for(MailState::Suppressed, 4).await;
    // Three by the rows, and three by Redis.
    app.finish(worker, 6).await;
}

/// R2: `doctor` and readiness report keys of deliveries that another program has written.
#[tokio::test]
async fn redis_keys_of_wrong_type_are_reported() {
    let mut app = TestApp::new().await;
    let (mut worker, base) = app.process_with_metrics(&[]).await;
    let readiness = async || get(&format!("{base}/health/ready")).await.1;
    let mut redis = app.redis.connection();
    for name in [":mail-budget:newest", ":smtp-turn"] {
        let key = format!("{}{name}", app.redis.namespace());
        let () = redis.rpush(&key, "element").await.unwrap();

        wait_until(async || readiness().await.contains(r#""redis":"wrong type""#)).await;
        let (code, text) = app.process(&["doctor"]).output().await;
        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains("failure  redis     wrong type") && text.contains(&key),
            "{text}"
        );

        let () = redis.del(&key).await.unwrap();
        wait_until(async || readiness().await.contains(r#""redis":"ok""#)).await;
    }
    worker.kill().await;
}
