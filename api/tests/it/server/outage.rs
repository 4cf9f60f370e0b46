//! Redis and PostgreSQL stop and come back, or their connections fall silent without being closed.

use std::sync::Arc;

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        mail::{self, Priority},
        password_reset,
    },
};
use latchkey_testing::{Forwarder, RedisServer, TestDatabase, TestRedis, wait_until};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, PaginatorTrait as _, Statement};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::{
    accounts::pictures::{data_url, png},
    support::{
        dashboard::Dashboard,
        test_app::{PASSWORD, TestApp, registration},
    },
};

/// Waits for a response as long as the timeouts of one request allow.
async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(15), answer)
        .await
        .expect("a response within the timeouts")
}

/// T1: without Redis, rate limited operations fail and store nothing. Users who are logged in keep working.
#[tokio::test]
async fn redis_outage_logins_return_503_sessions_work() {
    let mut redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let mails = mail::Entity::find().count(&app.database.db);
    let before = mails.await.unwrap();

    redis.kill().await;

    let requests = [
        (
            "/api/login/",
            json!({"email": "ada@example.com", "password": PASSWORD}),
        ),
        ("/api/register/", registration("new@example.com")),
        ("/auth/email_request/", json!({"email": "ada@example.com"})),
        ("/auth/check_otp/", json!({"token": token, "otp": code})),
    ];
    for (path, body) in requests {
        let answer = in_time(app.post(path, body)).await;
        answer.assert_problem(503, "unavailable");
        assert!(answer.headers.contains_key("retry-after"));
    }
    let mails = mail::Entity::find().count(&app.database.db);
    assert_eq!(mails.await.unwrap(), before);
    let resets = password_reset::Entity::find().count(&app.database.db);
    assert_eq!(resets.await.unwrap(), 1);
    let renamed = app.patch_user(&tokens.access, json!({"username": "A"}));
    let refreshed = app.post("/auth/refresh/", json!({"refresh": tokens.refresh}));
    for answer in [
        in_time(app.get_user(&tokens.access)).await,
        in_time(renamed).await,
        in_time(refreshed).await,
    ] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let ready = in_time(app.send(app.request(Method::GET, "/health/ready"))).await;
    assert_eq!(
        (ready.status.as_u16(), &ready.body["database"]),
        (200, &Value::from("ok"))
    );
    assert_eq!(ready.body["status"], "degraded");
    assert_ne!(ready.body["redis"], "ok");

    redis.restart().await;
    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// R2: with a Redis that accepts connections but does not answer, no request waits longer than its timeouts.
#[tokio::test]
async fn redis_hanging_requests_are_answered_within_timeouts() {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = app.logged_in_user("ada@example.com").await;

    redis.pause().await;

    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    for (path, body) in [
        ("/api/login/", credentials),
        ("/auth/email_request/", json!({"email": "ada@example.com"})),
    ] {
        in_time(app.post(path, body))
            .await
            .assert_problem(503, "unavailable");
    }
    assert_eq!(in_time(app.get_user(&tokens.access)).await.status, 200);

    redis.resume().await;
    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
}

/// R2: staff see that the dashboard is temporarily unavailable. Redis stores its sessions.
#[tokio::test]
async fn redis_outage_dashboard_returns_503() {
    let mut redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    redis.kill().await;

    let page = in_time(root.get("/admin/users/")).await;
    assert_eq!(page.status, 503);
    assert!(
        page.html.contains("temporarily unavailable"),
        "{}",
        page.html
    );
    assert!(page.headers.contains_key("retry-after"));
    let page = in_time(root.sign_in("root@example.com", PASSWORD)).await;
    assert_eq!(page.status, 503);
    assert!(page.cookie("latchkey_admin").is_none());
}

/// R2: logins and wake-ups of workers recover when a host dies or a firewall drops connections without closing them.
#[tokio::test]
async fn redis_silent_connections_are_replaced() {
    let (redis, forwarder) = TestRedis::behind_forwarder().await;
    let app = TestApp::on_redis(redis, &[]).await;
    app.logged_in_user("ada@example.com").await;
    let queue = app.redis.queue();
    let pushed = queue.depth(Priority::High).await.unwrap();

    forwarder.stall_connections();

    // The requests are more frequent than the idle time after which fred would drop a connection.
    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
    let queue = app.redis.queue();
    // Boxed for Clippy's limit on the size of futures.
    Box::pin(wait_until(async || {
        app.request_reset("ada@example.com").await;
        queue.depth(Priority::High).await.unwrap() > pushed
    }))
    .await;
}

/// Starts an application that connects to PostgreSQL through a forwarder, which can drop packets silently.
async fn behind_forwarder() -> (TestApp, Forwarder) {
    let database = TestDatabase::postgres().await;
    let (forwarder, url) = Forwarder::start(database.url()).await;
    let db = database::connect(&url).await.unwrap();
    let app = TestApp::on_database(database, db, TestRedis::create().await, &[]).await;
    (app, forwarder)
}

/// Locks the accounts. The mode `SHARE` blocks writes, `ACCESS EXCLUSIVE` also reads.
async fn lock_users(app: &TestApp, mode: &str) -> Transaction {
    let lock = database::begin(&app.database.db).await.unwrap();
    let users = format!("LOCK TABLE users IN {mode} MODE");
    lock.execute_unprepared(&users).await.unwrap();
    lock
}

/// R2: requests recover when all connections to PostgreSQL fall silent during statements, both single and batched ones.
#[tokio::test]
async fn postgres_silent_connections_are_replaced() {
    let (app, forwarder) = behind_forwarder().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let lock = lock_users(&app, "ACCESS EXCLUSIVE").await;
    let app = Arc::new(app);
    let mut waiting = Vec::new();
    for number in 0..40 {
        let (app, access) = (Arc::clone(&app), tokens.access.clone());
        waiting.push(tokio::spawn(async move {
            match number % 4 {
                0 => app.get_user(&access).await,
                1 => {
                    let body = registration(&format!("{number}@example.com"));
                    app.post("/api/register/", body).await
                }
                _ => app.try_login("ada@example.com", PASSWORD).await,
            }
        }));
    }
    wait_until(async || app.database.blocked_statements().await >= 20).await;

    forwarder.stall_connections();
    lock.commit().await.unwrap();

    let mut refused = 0;
    for answer in waiting {
        let answer = in_time(async { answer.await.unwrap() }).await;
        refused += usize::from(answer.status == 503);
    }
    assert!(refused >= 20, "{refused}");
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    app.register("new@example.com").await;
    for _ in 0..20 {
        app.login("ada@example.com", PASSWORD).await;
    }
}

/// R2: a change whose client got a 503 is not applied later. Abandoned statements would also accumulate in PostgreSQL. The
/// picture of an abandoned change stays, as the row may name it.
#[tokio::test]
async fn postgres_abandoned_statements_are_cancelled() {
    let (app, _forwarder) = behind_forwarder().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let lock = lock_users(&app, "SHARE").await;

    for change in [
        json!({"username": "Grace"}),
        json!({"image": data_url(&png(10, 10))}),
    ] {
        let answer = app.patch_user(&tokens.access, change);
        in_time(answer).await.assert_problem(503, "unavailable");
        wait_until(async || app.database.blocked_statements().await == 0).await;
    }

    lock.commit().await.unwrap();
    let user = app.get_user(&tokens.access).await;
    assert_eq!(user.body["username"], "Ada");
    assert_eq!(app.pictures().len(), 1);
}

/// R2: a `BEGIN` whose caller was cancelled does not put later statements into its transaction.
#[tokio::test]
async fn postgres_abandoned_transaction_ends_with_its_connection() {
    let (app, _forwarder) = behind_forwarder().await;
    let db = database::connect(app.database.url()).await.unwrap();
    (*db).execute_unprepared("BEGIN").await.unwrap();
    let pool = db.get_postgres_connection_pool();
    wait_until(async || pool.num_idle() == 1).await;

    let table = "CREATE TABLE made (n INTEGER)";
    db.execute_unprepared(table).await.unwrap();

    let made = "SELECT 1 FROM pg_tables WHERE tablename = 'made'";
    let made = Statement::from_string(DbBackend::Postgres, made);
    let made = app.database.db.query_all_raw(made).await.unwrap();
    assert_eq!(made.len(), 1, "the table is not committed");
}

/// R2: PostgreSQL detects dead clients and ends their statements.
#[tokio::test]
async fn postgres_connections_enable_keepalive_and_liveness_checks() {
    let (app, _forwarder) = behind_forwarder().await;
    for (setting, value) in [
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("client_connection_check_interval", "2s"),
    ] {
        let shown = Statement::from_string(DbBackend::Postgres, format!("SHOW {setting}"));
        let shown = app.database.db.query_one_raw(shown).await.unwrap();
        let shown: String = shown.unwrap().try_get_by_index(0).unwrap();
        assert_eq!(shown, value, "{setting}");
    }
}
