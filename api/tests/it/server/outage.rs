//! Redis and PostgreSQL go away and come back, or are silent and nobody says that they are gone.

use std::sync::Arc;

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        mail::{self, Priority},
        password_reset,
    },
};
use latchkey_testing::{Forwarder, RedisServer, TestDatabase, TestRedis};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, Statement};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::{
    accounts::pictures::{data_url, png},
    support::dashboard::Dashboard,
    support::test_app::{ApiResponse, PASSWORD, TestApp, registration, wait_until},
};

/// What a caller waits for at the most: the time-outs of one request, and no more.
async fn in_time(answer: impl Future<Output = ApiResponse>) -> ApiResponse {
    timeout(Duration::from_secs(15), answer)
        .await
        .expect("an answer within the time-outs")
}

/// T1, and the choice where two requirements pull against each other: what is limited fails closed, with nothing left
/// behind, and what a session needs goes on.
#[tokio::test]
async fn redis_outage_logins_return_503_sessions_work() {
    let mut redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let mails = mail::list(&app.database.db, None, 100).await.unwrap().len();

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
    assert_eq!(
        mail::list(&app.database.db, None, 100).await.unwrap().len(),
        mails,
        "something was left behind"
    );
    assert_eq!(
        password_reset::Entity::find()
            .all(&app.database.db)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(in_time(app.get_user(&tokens.access)).await.status, 200);
    assert_eq!(
        in_time(app.patch_user(&tokens.access, json!({"username": "A"})))
            .await
            .status,
        200
    );
    assert_eq!(
        in_time(app.post("/auth/refresh/", json!({"refresh": tokens.refresh})))
            .await
            .status,
        200
    );
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

/// A Redis that hangs is worse than one that is gone: nothing fails at once. Still no request waits longer than its
/// time-outs, and afterwards all goes on.
#[tokio::test]
async fn redis_hanging_requests_are_answered_within_timeouts() {
    let redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = app.logged_in_user("ada@example.com").await;

    redis.hang().await;

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

    redis.go_on().await;
    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
}

/// Who is signed in is in Redis, so without it the dashboard waits; it says so, and goes on by itself.
#[tokio::test]
async fn redis_outage_dashboard_returns_503() {
    let mut redis = RedisServer::start().await;
    let app = TestApp::on_redis(TestRedis::at(&redis.url()).await, &[]).await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    redis.kill().await;

    let page = timeout(Duration::from_secs(15), root.get("/admin/users/"))
        .await
        .unwrap();
    assert_eq!(page.status, 503);
    assert!(
        page.html.contains("temporarily unavailable"),
        "{}",
        page.html
    );
    assert!(page.headers.contains_key("retry-after"));
    let page = timeout(
        Duration::from_secs(15),
        root.sign_in("root@example.com", PASSWORD),
    )
    .await
    .unwrap();
    assert_eq!(page.status, 503);
    assert!(page.cookie("latchkey_admin").is_none());
}

/// The host of a Redis dies, or a firewall forgets its connections, and nobody says so: what is limited goes on, and wake-ups
/// are pushed, over new connections.
#[tokio::test]
async fn redis_silent_connections_are_replaced() {
    let (redis, line) = TestRedis::behind_a_forwarder().await;
    let app = TestApp::on_redis(redis, &[]).await;
    app.logged_in_user("ada@example.com").await;
    let queue = app.redis.queue().await;
    let pushed = queue.depth(Priority::High).await.unwrap();

    line.silence();

    // More often than every connection would have to be silent for before fred gives it up by itself.
    wait_until(async || app.try_login("ada@example.com", PASSWORD).await.status == 200).await;
    let queue = app.redis.queue().await;
    wait_until(async || {
        app.request_reset("ada@example.com").await;
        queue.depth(Priority::High).await.unwrap() > pushed
    })
    .await;
}

/// Starts an application that connects to PostgreSQL through a forwarder, which can fall silent.
async fn on_a_line() -> (TestApp, Forwarder) {
    let database = TestDatabase::postgres().await;
    let (line, url) = Forwarder::before(database.url()).await;
    let db = database::connect(&url).await.unwrap();
    let app = TestApp::on_database(database, db, TestRedis::create().await, &[]).await;
    (app, line)
}

/// As long as this is there nobody changes an account; with the mode `ACCESS EXCLUSIVE` nobody looks one up, either.
async fn lock_users(app: &TestApp, mode: &str) -> Transaction {
    let lock = database::begin(&app.database.db).await.unwrap();
    let users = format!("LOCK TABLE users IN {mode} MODE");
    lock.execute_unprepared(&users).await.unwrap();
    lock
}

/// The same of PostgreSQL, while statements are under way: as many as the pool has connections, of requests that ask alone and
/// of those that ask together.
#[tokio::test]
async fn postgres_silent_connections_are_replaced() {
    let (app, line) = on_a_line().await;
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
    wait_until(async || app.database.blocked().await >= 20).await;

    line.silence();
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

/// Else the statements of those who have given up would pile up on the server, and in the end do what nobody waits for. What
/// was asked for may have been done, so a picture stays that the row may name.
#[tokio::test]
async fn postgres_abandoned_statements_are_cancelled() {
    let (app, _line) = on_a_line().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let lock = lock_users(&app, "SHARE").await;

    for change in [
        json!({"username": "Grace"}),
        json!({"image": data_url(&png(10, 10))}),
    ] {
        let answer = app.patch_user(&tokens.access, change);
        in_time(answer).await.assert_problem(503, "unavailable");
        wait_until(async || app.database.blocked().await == 0).await;
    }

    lock.commit().await.unwrap();
    let user = app.get_user(&tokens.access).await;
    assert_eq!(user.body["username"], "Ada");
    assert_eq!(app.pictures().len(), 1);
}

/// As of a BEGIN whose answer came when nobody waited for it any more.
#[tokio::test]
async fn postgres_abandoned_transaction_ends_with_its_connection() {
    let (app, _line) = on_a_line().await;
    let db = database::connect(app.database.url()).await.unwrap();
    (*db).execute_unprepared("BEGIN").await.unwrap();
    let pool = db.get_postgres_connection_pool();
    wait_until(async || pool.num_idle() == 1).await;

    let table = "CREATE TABLE made (n INTEGER)";
    db.execute_unprepared(table).await.unwrap();

    let made = "SELECT 1 FROM pg_tables WHERE tablename = 'made'";
    let made = Statement::from_string(DbBackend::Postgres, made);
    let made = app.database.db.query_all_raw(made).await.unwrap();
    assert_eq!(made.len(), 1, "it is part of a transaction");
}

/// So a server that lives on ends what it did for somebody who has fallen silent.
#[tokio::test]
async fn postgres_connections_enable_keepalive_and_liveness_checks() {
    let (app, _line) = on_a_line().await;
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
