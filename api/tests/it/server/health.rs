//! R2: readiness tests that work succeeds, every refusal of a dependency is a 503 with `Retry-After`, and all heals without a
//! restart.

use latchkey_testing::{Forwarder, RedisRefusal, RedisServer, TestRedis};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    admin::audit_log,
    http::slow_clients::serve_as_it_is,
    server::database_outage::{self, with_setting},
    support::dashboard::Dashboard,
    support::test_app::{ApiResponse, PASSWORD, TestApp, wait_until},
};

async fn ready(app: &TestApp) -> ApiResponse {
    app.send(app.request(Method::GET, "/health/ready")).await
}

async fn until_ready_says(app: &TestApp, pointer: &str, expected: &str) -> ApiResponse {
    wait_until(async || ready(app).await.text(pointer) == expected).await;
    ready(app).await
}

fn is_unavailable(answer: &ApiResponse) {
    answer.assert_problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// A Redis that answers `PING` and does no work.
#[tokio::test]
async fn redis_refuses_writes_readiness_is_degraded_and_recovers() {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    // A full Redis lets a script go on that began by deleting, so what is limited works.
    for (refusal, word, limited) in [
        (RedisRefusal::Replica, "read-only", 503),
        (RedisRefusal::Full, "out of memory", 200),
        (RedisRefusal::CannotPersist, "cannot persist", 503),
        (RedisRefusal::Password, "refuses the login", 503),
    ] {
        redis.refuse(refusal).await;

        let answer = until_ready_says(&app, "/redis", word).await;
        assert_eq!(answer.status, 200, "{refusal:?}");
        assert_eq!(answer.text("/status"), "degraded");
        assert_eq!(answer.text("/database"), "ok");
        assert!(app.dependency_up("redis") < 0.5, "{refusal:?}");
        let login = app.try_login("ada@example.com", PASSWORD).await;
        assert_eq!(login.status, limited, "{refusal:?}");
        let request = json!({"email": "ada@example.com"});
        let asked = app.post("/auth/email_request/", request).await;
        for refused in [login, asked]
            .iter()
            .filter(|it| it.status != 200 && it.status != 201)
        {
            is_unavailable(refused);
        }
        assert_eq!(app.get_user(&tokens.access).await.status, 200);
        let rename = json!({"username": "Ada"});
        let renamed = app.patch_user(&tokens.access, rename).await;
        assert_eq!(renamed.status, 200, "{refusal:?}");
        let refresh = json!({"refresh": tokens.refresh});
        let refreshed = app.post("/auth/refresh/", refresh).await;
        assert_eq!(refreshed.status, 200, "{refusal:?}");

        redis.accept(refusal).await;

        wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
        let answer = until_ready_says(&app, "/status", "ok").await;
        assert_eq!(answer.text("/redis"), "ok");
        assert!(app.dependency_up("redis") > 0.5, "{refusal:?}");
    }
}

/// The name of Redis leads to a new primary, and the old one lives on as a replica with its connections.
#[tokio::test]
async fn redis_failover_behind_a_name_reconnects() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let (line, url) = Forwarder::before(&old.url()).await;
    let app = TestApp::on_redis(TestRedis::at(&url).await, &[]).await;
    app.logged_in_user("ada@example.com").await;

    line.redirect(&new.url());
    old.refuse(RedisRefusal::Replica).await;

    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
    until_ready_says(&app, "/status", "ok").await;
}

/// Without SQL no request is served.
#[tokio::test]
async fn database_refusing_writes_readiness_returns_503() {
    let app = TestApp::new().await;
    assert_eq!(ready(&app).await.status, 200);
    let db = &app.database.db;
    db.execute_unprepared("ALTER TABLE write_checks RENAME TO away")
        .await
        .unwrap();

    let answer = until_ready_says(&app, "/status", "unavailable").await;

    assert_eq!(answer.status, 503);
    assert_eq!(answer.text("/database"), "fails");
    assert!(app.dependency_up("database") < 0.5);
    db.execute_unprepared("ALTER TABLE away RENAME TO write_checks")
        .await
        .unwrap();
    let answer = until_ready_says(&app, "/status", "ok").await;
    assert_eq!(answer.status, 200);
}

/// PostgreSQL answers and accepts no write.
#[tokio::test]
async fn postgres_read_only_readiness_returns_503() {
    let app = with_setting("default_transaction_read_only = on").await;

    let answer = until_ready_says(&app, "/database", "read-only").await;

    assert_eq!(answer.status, 503);
    let writable = "RESET default_transaction_read_only";
    database_outage::set(&app.database.db, writable).await;
    let answer = until_ready_says(&app, "/status", "ok").await;
    assert_eq!(answer.status, 200);
}

/// PostgreSQL refuses new connections after it has ended the old ones.
#[tokio::test]
async fn postgres_refusing_connections_readiness_names_the_reason() {
    let (app, role) = database_outage::with_limited_role(2).await;
    let db = &app.database.db;
    let refused = format!("ALTER ROLE {role} CONNECTION LIMIT 0");
    db.execute_unprepared(&refused).await.unwrap();
    let ended =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    db.execute_unprepared(&ended).await.unwrap();

    let answer = until_ready_says(&app, "/database", "too many connections").await;

    assert_eq!(answer.status, 503);
    is_unavailable(&app.try_login("ada@example.com", PASSWORD).await);
    let accepted = format!("ALTER ROLE {role} CONNECTION LIMIT 5");
    db.execute_unprepared(&accepted).await.unwrap();
    until_ready_says(&app, "/status", "ok").await;
    database_outage::drop_role(&app, &role).await;
}

/// Another program, such as a backup, has the write lock.
#[tokio::test]
async fn sqlite_locked_readiness_names_the_reason() {
    let app = TestApp::on_sqlite().await;
    let other = app.database.connect().await;
    let lock = latchkey_shared::database::begin(&other).await.unwrap();

    until_ready_says(&app, "/database", "locked").await;

    drop(lock);
    until_ready_says(&app, "/status", "ok").await;
}

/// The state of the SMTP server is read from the database.
#[tokio::test]
async fn database_failure_smtp_readiness_is_unknown() {
    let app = TestApp::new().await;
    assert_eq!(ready(&app).await.text("/smtp"), "ok");
    let db = &app.database.db;
    db.execute_unprepared("ALTER TABLE mails RENAME TO away")
        .await
        .unwrap();

    until_ready_says(&app, "/smtp", "unknown").await;

    assert!(app.dependency_up("smtp") > 0.5);
}

/// An outage is one line with its remedy, however many requests fail, and its end is another one.
#[tokio::test]
async fn redis_outage_is_logged_once() {
    let redis = RedisServer::start().await;
    let mut app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let (mut process, _) = serve_as_it_is(&mut app).await;
    for outage in 1..3 {
        redis.refuse(RedisRefusal::Replica).await;
        for _ in 0..3 {
            is_unavailable(&app.try_login("ada@example.com", PASSWORD).await);
        }
        let count = |part: &str| {
            let lines = process.lines();
            lines.iter().filter(|line| line.contains(part)).count()
        };
        wait_until(async || count("Dependency failed") == outage).await;
        redis.accept(RedisRefusal::Replica).await;
        wait_until(async || count("Dependency works again") == outage).await;
    }

    let lines = process.lines();
    let failed: Vec<_> = lines.iter().filter(|it| it.contains(" ERROR ")).collect();
    assert_eq!(failed.len(), 2, "{lines:#?}");
    assert!(
        failed.iter().all(|it| it.contains("REPLICAOF NO ONE")),
        "{lines:#?}"
    );
    process.kill().await;
}

/// Invalid tokens are in the audit log once a minute for each client, also while Redis fails.
#[tokio::test]
async fn redis_outage_sampled_audit_events_are_recorded() {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    redis.refuse(RedisRefusal::Replica).await;
    for _ in 0..3 {
        let refresh = json!({"refresh": "no token"});
        let answer = app.post("/auth/refresh/", refresh).await;
        answer.assert_problem(401, "invalid-refresh-token");
    }
    let recorded = audit_log::events(&app).await;
    let kinds: Vec<_> = recorded.iter().map(|event| &*event.event).collect();
    assert_eq!(kinds, ["authn_token_fail"]);
}

#[tokio::test]
async fn media_folder_unwritable_uploads_return_503_and_recover() {
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    // A folder cannot be made where a file is.
    std::fs::write(&media, "").unwrap();
    let app = TestApp::with(&[("MEDIA_DIR", media.to_str().unwrap())]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(10, 10))});

    let answer = ready(&app).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("/media")),
        (200, "fails".to_owned())
    );
    assert_eq!(answer.text("/status"), "degraded");
    is_unavailable(&app.patch_user(&tokens.access, picture.clone()).await);
    let rename = json!({"username": "Ada"});
    assert_eq!(app.patch_user(&tokens.access, rename).await.status, 200);

    std::fs::remove_file(&media).unwrap();

    let uploaded = app.patch_user(&tokens.access, picture).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    until_ready_says(&app, "/status", "ok").await;
}

#[tokio::test]
async fn dashboard_names_the_degraded_dependency() {
    let app = TestApp::with(&[("MEDIA_DIR", "/dev/null/media")]).await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    let page = root.get_html("/admin/").await;

    assert!(page.contains("degraded (fails)"), "{page}");
}

/// SMTP trouble leaves the API ready.
#[tokio::test]
async fn smtp_outage_readiness_is_degraded() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.sink.stop();
    let request = json!({"email": "ada@example.com"});
    app.post("/auth/email_request/", request).await;
    app.deliver_all().await;

    let answer = until_ready_says(&app, "/smtp", "connection").await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.text("/status"), "degraded");
    assert!(app.dependency_up("smtp") < 0.5);
}
