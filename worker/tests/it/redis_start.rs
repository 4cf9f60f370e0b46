//! R2: a restart during an outage of Redis is no outage of the worker. A Redis that refuses the login stops the start.

use latchkey_shared::{
    clock::Clock,
    models::mail::{MailKind, MailState},
};
use latchkey_testing::{RedisRefusal, RedisServer};

use crate::{
    redis_refusals,
    test_app::{TestApp, get},
};

async fn on(redis: &RedisServer) -> TestApp {
    let mut app = redis_refusals::on(&redis.url()).await;
    app.clock = Clock::system();
    app
}

/// R2: the worker delivers notices at once, and codes after the outage.
#[tokio::test]
async fn redis_outage_at_start_delays_only_codes() {
    for (refusal, word, remedy) in [
        (RedisRefusal::Full, "out of memory", "raise maxmemory"),
        (RedisRefusal::Replica, "read-only", "REPLICAOF NO ONE"),
        (
            RedisRefusal::TooManyClients,
            "too many clients",
            "raise maxclients",
        ),
        (RedisRefusal::Loading, "loading", "wait until Redis"),
    ] {
        let redis = RedisServer::start().await;
        let mut app = on(&redis).await;
        let user = app.user("ada@example.com").await;
        app.notice(MailKind::Welcome, &user).await;
        app.reset("ada@example.com").await;
        redis.refuse(refusal).await;
        let (mut worker, base) = app.process_with_metrics(&[]).await;

        app.wait_for(MailState::Sent, 1).await;
        let line = worker.wait_for_line("Dependency failed").await;
        assert!(line.contains(word) && line.contains(remedy), "{line}");
        let (_, body) = get(&format!("{base}/health/ready")).await;
        let expected =
            format!(r#"{{"status":"degraded","database":"ok","redis":"{word}","smtp":"ok"}}"#);
        assert_eq!(body, expected);
        let lines = worker.lines();
        let failed = lines.iter().filter(|it| it.contains("Dependency failed"));
        assert_eq!(failed.count(), 1, "{lines:#?}");

        redis.accept(refusal).await;

        app.wait_for(MailState::Sent, 2).await;
        worker.wait_for_line("Dependency works again").await;
        worker.kill().await;
    }
}

/// R2: `doctor` names the outage and its remedy.
#[tokio::test]
async fn redis_loading_doctor_names_it() {
    let redis = RedisServer::start().await;
    let app = on(&redis).await;
    redis.refuse(RedisRefusal::Loading).await;

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("failure  redis     loading"), "{text}");
    assert!(text.contains("wait until Redis"), "{text}");
    assert_eq!(text.matches("failure  redis").count(), 1, "{text}");
}

/// R2: a login or a missing permission is no outage, and the error and `doctor` name it.
#[tokio::test]
async fn redis_refusing_the_login_stops_worker_with_remedy() {
    for (refusal, user, remedy) in [
        (RedisRefusal::Password, "", "put user and password into"),
        (RedisRefusal::Password, ":wrong@", "correct user and"),
        (RedisRefusal::Forbidden("-@scripting"), "", "ACL SETUSER"),
    ] {
        let redis = RedisServer::start().await;
        let mut app = on(&redis).await;
        let url = redis.url().replace("redis://", &format!("redis://{user}"));
        app.set("REDIS_URL", &url);
        redis.refuse(refusal).await;
        for command in ["run", "doctor"] {
            let (code, text) = app.process(&[command]).output().await;

            assert_eq!(code, Some(1), "{refusal:?}: {text}");
            assert!(text.contains(remedy), "{remedy}: {text}");
            assert!(!text.contains("cannot be reached"), "{text}");
            assert!(!text.contains("wrong@"), "{text}");
        }
    }
}
