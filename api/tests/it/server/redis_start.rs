//! R2: a restart during an outage of Redis is no outage of the API. A Redis that refuses the login stops the start.

use latchkey_testing::{Process, RedisRefusal, RedisServer, TestRedis, wait_until};
use reqwest::Method;

use crate::support::test_app::{PASSWORD, TestApp};

async fn on(redis: &RedisServer) -> TestApp {
    TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await
}

async fn readiness(app: &TestApp, pointer: &str) -> String {
    let answer = app.send(app.request(Method::GET, "/health/ready")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text(pointer)
}

fn count(process: &Process, part: &str) -> usize {
    let lines = process.lines();
    lines.iter().filter(|line| line.contains(part)).count()
}

/// R2: signed-in users can continue, operators find one log line with the remedy, and logins recover.
#[tokio::test]
async fn redis_outage_at_start_is_degraded_and_recovers() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis).await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for (refusal, word, remedy) in [
        (RedisRefusal::Full, "out of memory", "raise maxmemory"),
        (RedisRefusal::Replica, "read-only", "REPLICAOF NO ONE"),
        (RedisRefusal::CannotPersist, "cannot persist", "free space"),
        (
            RedisRefusal::TooManyClients,
            "too many clients",
            "raise maxclients",
        ),
        // The last one, as the restart loses the counters.
        (RedisRefusal::Loading, "loading", "wait until Redis"),
    ] {
        redis.refuse(refusal).await;
        let mut process = app.serve().await;

        assert_eq!(readiness(&app, "/status").await, "degraded", "{refusal:?}");
        assert_eq!(readiness(&app, "/redis").await, word);
        assert_eq!(app.get_user(&tokens.access).await.status, 200);
        let line = process.wait_for_line("Dependency failed").await;
        assert!(line.contains(remedy), "{line}");
        assert_eq!(count(&process, " ERROR "), 1, "{:#?}", process.lines());

        redis.accept(refusal).await;

        process.wait_for_line("Dependency works again").await;
        wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
        wait_until(async || readiness(&app, "/status").await == "ok").await;
        process.kill().await;
    }
}

/// R2: the first administrator needs no restart after the outage.
#[tokio::test]
async fn redis_outage_at_start_setup_link_follows() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis).await;
    redis.refuse(RedisRefusal::Full).await;
    let mut process = app.serve().await;
    process.wait_for_line("it follows when Redis works").await;
    assert_eq!(count(&process, "/admin/setup/"), 0);

    redis.accept(RedisRefusal::Full).await;

    let line = process.wait_for_line("/admin/setup/").await;
    let (_, path) = line.split_once("/admin/setup/").unwrap();
    let token = path.split('/').next().unwrap();
    let form = app.request(Method::GET, &format!("/admin/setup/{token}/"));
    assert_eq!(app.send(form).await.status, 200);
    process.kill().await;
}

/// R2: commands that do not need Redis succeed during its outage.
#[tokio::test]
async fn redis_loading_command_warns_and_succeeds() {
    let redis = RedisServer::start().await;
    let app = on(&redis).await;
    app.create_superuser("root@example.com").await;
    redis.refuse(RedisRefusal::Loading).await;

    let (code, output) = app.process(&["users", "list"]).output().await;

    assert_eq!(code, Some(0), "{output}");
    for part in ["root@example.com", "loading", "continues without it"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

/// R2: a login or a missing permission is no outage, and the error names it.
#[tokio::test]
async fn redis_refusing_the_login_stops_start_with_remedy() {
    for (refusal, user, remedy) in [
        (RedisRefusal::Password, "", "put user and password into"),
        (RedisRefusal::Password, ":wrong@", "correct user and"),
        (RedisRefusal::Forbidden("-@all"), "", "ACL SETUSER"),
        (RedisRefusal::Forbidden("-@scripting"), "", "ACL SETUSER"),
    ] {
        let redis = RedisServer::start().await;
        let mut app = on(&redis).await;
        let url = redis.url().replace("redis://", &format!("redis://{user}"));
        app.set("REDIS_URL", &url);
        redis.refuse(refusal).await;
        for command in [&["serve"][..], &["users", "list"]] {
            let (code, output) = app.process(command).output().await;

            assert_eq!(code, Some(1), "{refusal:?}: {output}");
            assert!(output.contains("REDIS_URL"), "{output}");
            assert!(output.contains(remedy), "{remedy}: {output}");
            assert!(!output.contains("cannot be reached"), "{output}");
            assert!(!output.contains("wrong@"), "{output}");
        }
    }
}
