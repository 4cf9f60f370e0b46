//! R2: readiness tests that work succeeds, every refusal of a dependency is a 503 with `Retry-After`, and all heals without a
//! restart.

use latchkey_testing::{Forwarder, RedisRefusal, RedisServer, TestRedis};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::{
    dashboard::Dashboard,
    database_outage::{self, with_setting},
    pictures::{data_url, png},
    world::{Answer, PASSWORD, World, until},
};

async fn ready(world: &World) -> Answer {
    world
        .send(world.request(Method::GET, "/health/ready"))
        .await
}

async fn until_ready_says(world: &World, pointer: &str, expected: &str) -> Answer {
    until(async || ready(world).await.text(pointer) == expected).await;
    ready(world).await
}

fn is_unavailable(answer: &Answer) {
    answer.is_problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// A Redis that answers `PING` and does no work.
#[tokio::test]
async fn redis_refuses_writes_readiness_is_degraded_and_recovers() {
    let redis = RedisServer::start().await;
    let world = World::on(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = world.somebody("ada@example.com").await;
    // A full Redis lets a script go on that began by deleting, so what is limited works.
    for (refusal, word, limited) in [
        (RedisRefusal::Replica, "read-only", 503),
        (RedisRefusal::Full, "out of memory", 200),
        (RedisRefusal::CannotPersist, "cannot persist", 503),
        (RedisRefusal::Password, "refuses the login", 503),
    ] {
        redis.refuse(refusal).await;

        let answer = until_ready_says(&world, "/redis", word).await;
        assert_eq!(answer.status, 200, "{refusal:?}");
        assert_eq!(answer.text("/status"), "degraded");
        assert_eq!(answer.text("/database"), "ok");
        assert!(world.dependency_up("redis") < 0.5, "{refusal:?}");
        let login = world.try_login("ada@example.com", PASSWORD).await;
        assert_eq!(login.status, limited, "{refusal:?}");
        let request = json!({"email": "ada@example.com"});
        let asked = world.post("/auth/email_request/", request).await;
        for refused in [login, asked]
            .iter()
            .filter(|it| it.status != 200 && it.status != 201)
        {
            is_unavailable(refused);
        }
        assert_eq!(world.get_user(&tokens.access).await.status, 200);
        let rename = json!({"username": "Ada"});
        let renamed = world.patch_user(&tokens.access, rename).await;
        assert_eq!(renamed.status, 200, "{refusal:?}");
        let refresh = json!({"refresh": tokens.refresh});
        let refreshed = world.post("/auth/refresh/", refresh).await;
        assert_eq!(refreshed.status, 200, "{refusal:?}");

        redis.accept(refusal).await;

        until(async || world.try_login("ada@example.com", PASSWORD).await.status == 200).await;
        let answer = until_ready_says(&world, "/status", "ok").await;
        assert_eq!(answer.text("/redis"), "ok");
        assert!(world.dependency_up("redis") > 0.5, "{refusal:?}");
    }
}

/// The name of Redis leads to a new primary, and the old one lives on as a replica with its connections.
#[tokio::test]
async fn redis_failover_behind_a_name_reconnects() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let (line, url) = Forwarder::before(&old.url()).await;
    let world = World::on(TestRedis::at(&url).await, &[]).await;
    world.somebody("ada@example.com").await;

    line.redirect(&new.url());
    old.refuse(RedisRefusal::Replica).await;

    until(async || world.try_login("ada@example.com", PASSWORD).await.status == 200).await;
    until_ready_says(&world, "/status", "ok").await;
}

/// Without SQL no request is served.
#[tokio::test]
async fn database_refuses_writes_readiness_is_503() {
    let world = World::new().await;
    assert_eq!(ready(&world).await.status, 200);
    let db = &world.database.db;
    db.execute_unprepared("ALTER TABLE write_checks RENAME TO away")
        .await
        .unwrap();

    let answer = until_ready_says(&world, "/status", "unavailable").await;

    assert_eq!(answer.status, 503);
    assert_eq!(answer.text("/database"), "fails");
    assert!(world.dependency_up("database") < 0.5);
    db.execute_unprepared("ALTER TABLE away RENAME TO write_checks")
        .await
        .unwrap();
    let answer = until_ready_says(&world, "/status", "ok").await;
    assert_eq!(answer.status, 200);
}

/// PostgreSQL answers and accepts no write.
#[tokio::test]
async fn postgresql_is_read_only_readiness_is_503() {
    let Some(world) = with_setting("default_transaction_read_only = on").await else {
        return;
    };

    let answer = until_ready_says(&world, "/database", "read-only").await;

    assert_eq!(answer.status, 503);
    let writable = "RESET default_transaction_read_only";
    database_outage::set(&world.database.db, writable).await;
    let answer = until_ready_says(&world, "/status", "ok").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn media_folder_refuses_files_uploads_are_503_and_recover() {
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    // A folder cannot be made where a file is.
    std::fs::write(&media, "").unwrap();
    let world = World::with(&[("MEDIA_DIR", media.to_str().unwrap())]).await;
    let tokens = world.somebody("ada@example.com").await;
    let picture = json!({"image": data_url(&png(10, 10))});

    let answer = ready(&world).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("/media")),
        (200, "fails".to_owned())
    );
    assert_eq!(answer.text("/status"), "degraded");
    is_unavailable(&world.patch_user(&tokens.access, picture.clone()).await);
    let rename = json!({"username": "Ada"});
    assert_eq!(world.patch_user(&tokens.access, rename).await.status, 200);

    std::fs::remove_file(&media).unwrap();

    let uploaded = world.patch_user(&tokens.access, picture).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    until_ready_says(&world, "/status", "ok").await;
}

#[tokio::test]
async fn dashboard_names_the_dependency_that_is_degraded() {
    let world = World::with(&[("MEDIA_DIR", "/dev/null/media")]).await;
    world.superuser("root@example.com").await;
    let root = Dashboard::of(&world, "root@example.com").await;

    let page = root.see("/admin/").await;

    assert!(page.contains("degraded (fails)"), "{page}");
}

/// SMTP trouble leaves the API ready.
#[tokio::test]
async fn smtp_is_down_readiness_is_degraded() {
    let world = World::new().await;
    world.somebody("ada@example.com").await;
    world.sink.stop();
    let request = json!({"email": "ada@example.com"});
    world.post("/auth/email_request/", request).await;
    world.deliver_all().await;

    let answer = until_ready_says(&world, "/smtp", "connection").await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.text("/status"), "degraded");
    assert!(world.dependency_up("smtp") < 0.5);
}
