//! Redis goes away and comes back.

use std::net::TcpListener;

use latchkey_shared::{mail, password_reset};
use latchkey_testing::{PATIENCE, Process, TestRedis};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, timeout};

use crate::world::{Answer, PASSWORD, World, registration};

/// A Redis that the test may kill.
struct Redis {
    process: Process,
    port: u16,
}

impl Redis {
    async fn start(port: u16) -> Self {
        let text = port.to_string();
        let arguments = [
            "--port",
            &text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let mut process = Process::spawn("redis-server", &arguments, Vec::<(&str, &str)>::new());
        process.wait_for_line("Ready to accept connections").await;
        Self { process, port }
    }

    async fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self::start(port).await
    }
}

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
    let mut redis = Redis::new().await;
    let world = World::on(
        TestRedis::at(&format!("redis://127.0.0.1:{}", redis.port)).await,
        &[],
    )
    .await;
    let tokens = world.somebody("ada@example.com").await;
    let (token, code) = world.forgotten("ada@example.com").await;
    let mails = mail::list(&world.database.db, None, 100)
        .await
        .unwrap()
        .len();

    redis.process.kill().await;

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

    let port = redis.port;
    drop(redis);
    let _redis = Redis::start(port).await;
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
