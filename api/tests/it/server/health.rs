//! R2: readiness tests real work, refusals by a dependency return 503 with `Retry-After`, and everything recovers without a
//! restart.

use latchkey_testing::{Forwarder, Process, RedisRefusal, RedisServer, TestRedis, wait_until};
use redis::AsyncCommands as _;
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    admin::audit_log,
    server::database_outage::{self, with_setting},
    support::dashboard::Dashboard,
    support::test_app::{ApiResponse, PASSWORD, TestApp, registration},
};

pub(super) async fn ready(app: &TestApp) -> ApiResponse {
    app.send(app.request(Method::GET, "/health/ready")).await
}

pub(super) async fn until_readiness(app: &TestApp, pointer: &str, expected: &str) -> ApiResponse {
    wait_until(async || ready(app).await.text(pointer) == expected).await;
    ready(app).await
}

pub(super) fn is_unavailable(answer: &ApiResponse) {
    answer.assert_problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// R2: sessions work while Redis answers `PING` but refuses writes, and everything works again afterwards.
#[tokio::test]
async fn redis_refuses_writes_readiness_is_degraded_and_recovers() {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    // A full Redis runs scripts that start with a deletion, so rate limited requests work.
    for (refusal, reason, login_status) in [
        (RedisRefusal::Replica, "read-only", 503),
        (RedisRefusal::Full, "out of memory", 200),
        (RedisRefusal::CannotPersist, "cannot persist", 503),
        (RedisRefusal::Password, "refuses the login", 503),
        (RedisRefusal::Forbidden("-@scripting"), "not permitted", 503),
        (RedisRefusal::Forbidden("-zadd"), "not permitted", 503),
    ] {
        redis.refuse(refusal).await;

        let answer = until_readiness(&app, "/redis", reason).await;
        assert_eq!(answer.status, 200, "{refusal:?}");
        assert_eq!(answer.text("/status"), "degraded");
        assert_eq!(answer.text("/database"), "ok");
        assert!(app.dependency_up("redis") < 0.5, "{refusal:?}");
        let login = app.try_login("ada@example.com", PASSWORD).await;
        assert_eq!(login.status, login_status, "{refusal:?}");
        let request = json!({"email": "ada@example.com"});
        let reset = app.post("/auth/email_request/", request).await;
        let answers = [login, reset];
        let refused = answers.iter().filter(|it| !it.status.is_success());
        refused.for_each(is_unavailable);
        assert_eq!(app.get_user(&tokens.access).await.status, 200);
        let rename = json!({"username": "Ada"});
        let renamed = app.patch_user(&tokens.access, rename).await;
        assert_eq!(renamed.status, 200, "{refusal:?}");
        let refresh = json!({"refresh": tokens.refresh});
        let refreshed = app.post("/auth/refresh/", refresh).await;
        assert_eq!(refreshed.status, 200, "{refusal:?}");

        redis.accept(refusal).await;

        wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
        let answer = until_readiness(&app, "/status", "ok").await;
        assert_eq!(answer.text("/redis"), "ok");
        assert!(app.dependency_up("redis") > 0.5, "{refusal:?}");
    }
}

/// R2: readiness and the log name the limit of clients, not the connections that it breaks.
#[tokio::test]
async fn redis_accepting_no_client_readiness_names_the_limit() {
    let redis = RedisServer::start().await;
    let mut app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let mut process = app.serve().await;
    redis.refuse(RedisRefusal::TooManyClients).await;

    is_unavailable(&app.try_login("ada@example.com", PASSWORD).await);
    process.wait_for_line("raise maxclients").await;
    until_readiness(&app, "/redis", "too many clients").await;
    let lines = process.lines();
    let mut loud = lines.iter().filter(|line| line.contains("ERROR latchkey"));
    assert!(
        loud.all(|line| line.contains("raise maxclients")),
        "{lines:#?}"
    );

    redis.accept(RedisRefusal::TooManyClients).await;
    until_readiness(&app, "/redis", "ok").await;
    process.kill().await;
}

/// R2: readiness reports keys that another program has written under the namespace.
#[tokio::test]
async fn redis_keys_of_wrong_type_readiness_is_degraded() {
    let app = TestApp::new().await;
    let mut redis = app.redis.connection();
    let namespace = app.redis.namespace();
    for name in [
        ":limit:lockouts",
        ":limit:newest:3600",
        ":limit:newest:86400",
        ":mails:scheduled",
    ] {
        let key = format!("{namespace}{name}");
        let () = redis.set(&key, "text").await.unwrap();

        until_readiness(&app, "/redis", "wrong type").await;

        let () = redis.del(&key).await.unwrap();
        until_readiness(&app, "/redis", "ok").await;
    }
}

/// R2: logins recover after a failover, when the name of Redis leads to a new primary and the old one keeps its connections as a
/// replica.
#[tokio::test]
async fn redis_failover_behind_a_name_reconnects() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let (forwarder, url) = Forwarder::start(&old.url()).await;
    let app = TestApp::on_redis(TestRedis::at(&url).await, &[]).await;
    app.logged_in_user("ada@example.com").await;

    forwarder.redirect(&new.url());
    old.refuse(RedisRefusal::Replica).await;

    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
    until_readiness(&app, "/status", "ok").await;
}

/// R2: load balancers send no requests to a server whose database refuses writes.
#[tokio::test]
async fn database_refusing_writes_readiness_returns_503() {
    let app = TestApp::new().await;
    assert_eq!(ready(&app).await.status, 200);
    let db = &app.database.db;
    db.execute_unprepared("ALTER TABLE write_checks RENAME TO away")
        .await
        .unwrap();

    let answer = until_readiness(&app, "/status", "unavailable").await;

    assert_eq!(answer.status, 503);
    assert_eq!(answer.text("/database"), "schema incomplete");
    assert!(app.dependency_up("database") < 0.5);
    db.execute_unprepared("ALTER TABLE away RENAME TO write_checks")
        .await
        .unwrap();
    let answer = until_readiness(&app, "/status", "ok").await;
    assert_eq!(answer.status, 200);
}

/// R2: readiness reports a PostgreSQL that accepts no writes.
#[tokio::test]
async fn postgres_read_only_readiness_returns_503() {
    let app = with_setting("default_transaction_read_only = on").await;

    let answer = until_readiness(&app, "/database", "read-only").await;

    assert_eq!(answer.status, 503);
    let writable = "RESET default_transaction_read_only";
    database_outage::set(&app.database.db, writable).await;
    let answer = until_readiness(&app, "/status", "ok").await;
    assert_eq!(answer.status, 200);
}

/// R2: readiness reports a PostgreSQL that has ended all connections and refuses new ones.
#[tokio::test]
async fn postgres_refusing_connections_readiness_names_the_reason() {
    let (app, role) = database_outage::with_limited_role(2).await;
    let db = &app.database.db;
    let refused = format!("ALTER ROLE {role} CONNECTION LIMIT 0");
    db.execute_unprepared(&refused).await.unwrap();
    let terminate =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    db.execute_unprepared(&terminate).await.unwrap();

    let answer = until_readiness(&app, "/database", "too many connections").await;

    assert_eq!(answer.status, 503);
    is_unavailable(&app.try_login("ada@example.com", PASSWORD).await);
    let accepted = format!("ALTER ROLE {role} CONNECTION LIMIT 5");
    db.execute_unprepared(&accepted).await.unwrap();
    until_readiness(&app, "/status", "ok").await;
    database_outage::drop_role(&app, &role).await;
}

/// R2: readiness reports a `statement_timeout` that cancels requests, although it is long enough for most statements.
#[tokio::test]
async fn postgres_short_statement_timeout_readiness_names_the_reason() {
    let (app, role) = database_outage::with_limited_role(5).await;
    let db = &app.database.db;
    let reconnect_with = async |change: &str| {
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename =";
        let sql = format!("ALTER ROLE {role} {change}; {terminate} '{role}'");
        db.execute_unprepared(&sql).await.unwrap();
    };
    reconnect_with("SET statement_timeout = '60ms'").await;

    let answer = until_readiness(&app, "/database", "cancelled").await;

    assert_eq!(answer.status, 503);
    reconnect_with("RESET statement_timeout").await;
    until_readiness(&app, "/status", "ok").await;
    database_outage::drop_role(&app, &role).await;
}

/// R2: readiness reports that another program locks a table of the requests.
#[tokio::test]
async fn postgres_table_locked_readiness_names_the_reason() {
    let app = TestApp::on_postgres().await;
    let lock = latchkey_shared::database::begin(&app.database.db)
        .await
        .unwrap();
    let users = "LOCK TABLE users IN SHARE MODE";
    lock.execute_unprepared(users).await.unwrap();

    let answer = until_readiness(&app, "/database", "locked").await;

    assert_eq!(answer.status, 503);
    drop(lock);
    until_readiness(&app, "/status", "ok").await;
}

/// R2: readiness reports that the role may not write, as after a restore by another role.
#[tokio::test]
async fn postgres_role_lacks_privileges_readiness_names_the_reason() {
    let (app, role) = database_outage::with_limited_role(5).await;
    let revoke = format!("REVOKE pg_write_all_data FROM {role}");
    app.database.db.execute_unprepared(&revoke).await.unwrap();

    let answer = until_readiness(&app, "/database", "refuses the login").await;

    assert_eq!(answer.status, 503);
    let body = registration("ada@example.com");
    is_unavailable(&app.post("/api/register/", body).await);
    database_outage::drop_role(&app, &role).await;
}

/// R2: readiness reports that another program, such as a backup, has locked the database.
#[tokio::test]
async fn sqlite_locked_readiness_names_the_reason() {
    let app = TestApp::on_sqlite().await;
    let other = app.database.connect().await;
    let lock = latchkey_shared::database::begin(&other).await.unwrap();

    until_readiness(&app, "/database", "locked").await;

    drop(lock);
    until_readiness(&app, "/status", "ok").await;
}

/// R2: without the database, which stores the state of the SMTP server, readiness does not report SMTP as failed.
#[tokio::test]
async fn database_failure_smtp_readiness_is_unknown() {
    let app = TestApp::new().await;
    assert_eq!(ready(&app).await.text("/smtp"), "ok");
    let db = &app.database.db;
    db.execute_unprepared("ALTER TABLE mails RENAME TO away")
        .await
        .unwrap();

    until_readiness(&app, "/smtp", "unknown").await;

    assert!(app.dependency_up("smtp") > 0.5);
}

/// R2: operators find one log line with the remedy for each outage and one for its end, however many requests fail.
#[tokio::test]
async fn redis_outage_is_logged_once() {
    let redis = RedisServer::start().await;
    let mut app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let mut process = app.serve().await;
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

/// R2: requests that succeed without the queue log nothing each, and the outage is logged once.
#[tokio::test]
async fn redis_outage_failed_pushes_are_logged_once() {
    let mut redis = RedisServer::start().await;
    let test_redis = TestRedis::at(&redis.url()).await;
    let key = format!("{}:mails:scheduled", test_redis.namespace());
    let mut app = TestApp::on_redis(test_redis, &[("LIMITS", "off")]).await;
    let mut process = app.serve().await;
    let request = json!({"email": "ada@example.com"});
    let refusals = [
        (Some(RedisRefusal::Full), "raise maxmemory"),
        (Some(RedisRefusal::Replica), "REPLICAOF NO ONE"),
        (Some(RedisRefusal::CannotPersist), "free space"),
        (None, "delete those keys"),
    ];
    let ended = |process: &Process| {
        let lines = process.lines();
        let ends = lines
            .iter()
            .filter(|it| it.contains("Dependency works again"));
        ends.count()
    };
    for (round, (refusal, remedy)) in refusals.into_iter().enumerate() {
        match refusal {
            Some(refusal) => redis.refuse(refusal).await,
            None => app.redis.connection().set(&key, "text").await.unwrap(),
        }
        for _ in 0..3 {
            let answer = app.post("/auth/email_request/", request.clone()).await;
            assert!(answer.status.is_success(), "{refusal:?}: {answer:?}");
        }
        process.wait_for_line(remedy).await;

        match refusal {
            Some(refusal) => redis.accept(refusal).await,
            None => app.redis.connection().del(&key).await.unwrap(),
        }
        wait_until(async || ended(&process) == round + 1).await;
    }
    redis.kill().await;
    for _ in 0..3 {
        let answer = app.post("/auth/email_request/", request.clone()).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    process.wait_for_line("start Redis").await;
    redis.restart().await;
    wait_until(async || ended(&process) == refusals.len() + 1).await;
    let lines = loud_lines(&process);
    assert_eq!(lines.len(), refusals.len() + 1, "{lines:#?}");
    process.kill().await;
}

/// Returns the warnings and errors of a server since its start.
fn loud_lines(process: &Process) -> Vec<String> {
    let is_loud = |line: &String| line.contains(" WARN ") || line.contains(" ERROR ");
    let lines = process.lines().into_iter();
    let since_start = lines.skip_while(|line| !line.contains("Listening on"));
    since_start.filter(is_loud).collect()
}

/// R2: the audit log has one event a minute for the invalid tokens of a client, also while Redis fails.
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

/// R2: users can change their profile while pictures cannot be stored.
#[tokio::test]
async fn media_folder_unwritable_uploads_return_503_and_recover() {
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    // The server cannot create the folder, as a file has its name.
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
    assert!(app.dependency_up("media") < 0.5);
    is_unavailable(&app.patch_user(&tokens.access, picture.clone()).await);
    let rename = json!({"username": "Ada"});
    assert_eq!(app.patch_user(&tokens.access, rename).await.status, 200);

    std::fs::remove_file(&media).unwrap();
    std::fs::create_dir(&media).unwrap();

    let uploaded = app.patch_user(&tokens.access, picture).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    until_readiness(&app, "/status", "ok").await;
}

/// R2: pictures of an unmounted disk are not written below its mount point, whether that is missing or an empty folder.
#[tokio::test]
async fn media_folder_vanished_uploads_return_503_and_recover() {
    let folder = tempfile::tempdir().unwrap();
    let (media, moved) = (
        folder.path().join("disk/media"),
        folder.path().join("moved"),
    );
    let mut app = TestApp::with(&[("MEDIA_DIR", media.to_str().unwrap())]).await;
    let mut process = app.serve().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(10, 10))});
    let uploaded = app.patch_user(&tokens.access, picture.clone()).await;
    let url = uploaded.text("/image");
    let path = &url[url.find("/media/").unwrap()..];
    std::fs::rename(&media, &moved).unwrap();

    for is_empty_folder in [false, true] {
        if is_empty_folder {
            std::fs::create_dir(&media).unwrap();
        }
        is_unavailable(&app.patch_user(&tokens.access, picture.clone()).await);
        is_unavailable(&app.send(app.request(Method::GET, path)).await);
        let answer = until_readiness(&app, "/media", "missing").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text("/status"), "degraded");
        let rename = json!({"username": "Ada"});
        assert_eq!(app.patch_user(&tokens.access, rename).await.status, 200);
    }
    process
        .wait_for_line("mount the disk of MEDIA_DIR again")
        .await;
    // Fails if the server has written into it.
    std::fs::remove_dir(&media).unwrap();
    std::fs::rename(&moved, &media).unwrap();

    until_readiness(&app, "/status", "ok").await;
    let uploaded = app.patch_user(&tokens.access, picture).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    process.kill().await;
}

/// R2: staff see in the dashboard which dependency fails.
#[tokio::test]
async fn dashboard_names_the_degraded_dependency() {
    let app = TestApp::with(&[("MEDIA_DIR", "/dev/null/media")]).await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    let page = root.get_html("/admin/").await;

    assert!(page.contains("degraded (fails)"), "{page}");
}

/// R2: the API serves requests while the SMTP server is down.
#[tokio::test]
async fn smtp_outage_readiness_is_degraded() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.sink.stop();
    let request = json!({"email": "ada@example.com"});
    app.post("/auth/email_request/", request).await;
    app.deliver_all().await;

    let answer = until_readiness(&app, "/smtp", "connection").await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.text("/status"), "degraded");
    assert!(app.dependency_up("smtp") < 0.5);
}
