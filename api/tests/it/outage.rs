//! Redis goes away and comes back.

use latchkey_shared::{mail, password_reset};
use latchkey_testing::{PATIENCE, RedisServer, TestRedis};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, timeout};

use crate::{
    dashboard::Dashboard,
    world::{Answer, PASSWORD, World, registration},
};

/// What a caller waits for at the most: the time-outs of one request, and no more.
async fn in_time(answer: impl Future<Output = Answer>) -> Answer {
    timeout(Duration::from_secs(15), answer)
        .await
        .expect("an answer within the time-outs")
}

/// T1, and the choice where two requirements pull against each other: what is limited fails closed, with nothing left
/// behind, and what a session needs goes on.
#[tokio::test]
async fn with_redis_gone_logins_and_codes_are_503_and_sessions_go_on() {
    let mut redis = RedisServer::start().await;
    let world = World::on(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = world.somebody("ada@example.com").await;
    let (token, code) = world.forgotten("ada@example.com").await;
    let mails = mail::list(&world.database.db, None, 100)
        .await
        .unwrap()
        .len();

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
        let answer = in_time(world.post(path, body)).await;
        answer.is_problem(503, "unavailable");
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(
        mail::list(&world.database.db, None, 100)
            .await
            .unwrap()
            .len(),
        mails,
        "something was left behind"
    );
    assert_eq!(
        password_reset::Entity::find()
            .all(&world.database.db)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(in_time(world.get_user(&tokens.access)).await.status, 200);
    assert_eq!(
        in_time(world.patch_user(&tokens.access, json!({"username": "A"})))
            .await
            .status,
        200
    );
    assert_eq!(
        in_time(world.post("/auth/refresh/", json!({"refresh": tokens.refresh})))
            .await
            .status,
        200
    );
    let ready = in_time(world.send(world.request(Method::GET, "/health/ready"))).await;
    assert_eq!(
        (ready.status.as_u16(), &ready.body["database"]),
        (503, &Value::from("ok"))
    );
    assert_ne!(ready.body["redis"], "ok");

    redis.restart().await;
    timeout(PATIENCE, async {
        while world.try_login("ada@example.com", PASSWORD).await.status != 200 {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("a login after Redis came back");
    let (token, code) = world.forgotten("ada@example.com").await;
    assert_eq!(world.check(&token, &code).await.status, 200);
}

/// A Redis that hangs is worse than one that is gone: nothing fails at once. Still no request waits longer than its
/// time-outs, and afterwards all goes on.
#[tokio::test]
async fn with_redis_hanging_every_request_is_answered_within_its_timeouts() {
    let redis = RedisServer::start().await;
    let world = World::on(TestRedis::at(&redis.url()).await, &[]).await;
    let tokens = world.somebody("ada@example.com").await;

    redis.hang().await;

    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    for (path, body) in [
        ("/api/login/", credentials),
        ("/auth/email_request/", json!({"email": "ada@example.com"})),
    ] {
        in_time(world.post(path, body))
            .await
            .is_problem(503, "unavailable");
    }
    assert_eq!(in_time(world.get_user(&tokens.access)).await.status, 200);

    redis.go_on().await;
    timeout(PATIENCE, async {
        while world.try_login("ada@example.com", PASSWORD).await.status != 200 {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("a login after Redis went on");
}

/// Who is signed in is in Redis, so without it the dashboard waits; it says so, and goes on by itself.
#[tokio::test]
async fn with_redis_gone_the_dashboard_says_so() {
    let mut redis = RedisServer::start().await;
    let world = World::on(TestRedis::at(&redis.url()).await, &[]).await;
    world.superuser("root@example.com").await;
    let root = Dashboard::of(&world, "root@example.com").await;

    redis.kill().await;

    let page = timeout(Duration::from_secs(15), root.get("/admin/users/"))
        .await
        .unwrap();
    assert_eq!(page.status, 503);
    assert!(page.html.contains("does not answer"), "{}", page.html);
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
