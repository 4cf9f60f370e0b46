//! Both built programs together, while one of them, the queue or the database dies under them.

use std::{collections::HashSet, path::Path};

use latchkey_shared::{clock::Clock, mail::MailState};
use latchkey_testing::{Forwarder, PATIENCE, Process, RedisServer, TestRedis};
use tokio::time::{Duration, sleep, timeout};

use crate::world::World;

/// No answer takes longer than the time-outs inside it.
const IN_TIME: Duration = Duration::from_secs(20);

struct Api {
    process: Process,
    url: String,
}

impl Api {
    async fn start(world: &World) -> Self {
        let worker = Path::new(env!("CARGO_BIN_EXE_latchkey-worker"));
        let program = worker.with_file_name("latchkey-api");
        assert!(
            program.exists(),
            "there is no {}: run `cargo build --workspace` first",
            program.display()
        );
        let mut process = Process::spawn(program.to_str().unwrap(), &["serve"], &world.variables);
        let line = process.wait_for_line("Latchkey serves.").await;
        let address = line.rsplit("address=").next().unwrap().trim();
        Self {
            process,
            url: format!("http://{address}"),
        }
    }

    /// Asks for a code; the status of the answer.
    async fn ask_for(&self, email: &str) -> u16 {
        self.post("/auth/email_request/", &[("email", email)]).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> u16 {
        let request = reqwest::Client::new()
            .post(format!("{}{path}", self.url))
            .form(form)
            .send();
        let answer = timeout(IN_TIME, request).await.expect("an answer in time");
        answer.unwrap().status().as_u16()
    }
}

async fn world() -> World {
    let mut world = World::new().await;
    world.clock = Clock::system();
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("MEDIA_DIR", "media"),
        ("LIMIT_RESET_PEER", "100000/1"),
        ("LIMIT_RESET_EMAIL", "100000/1"),
        ("LIMIT_RESET_EMAIL_GAP", "100000/1"),
    ] {
        world.set(key, value);
    }
    world
}

/// Moves a world to a Redis of its own.
async fn on_own_redis(world: &mut World) -> RedisServer {
    let redis = RedisServer::start().await;
    world.redis = TestRedis::at(&redis.url()).await;
    world.connections.queue = world.redis.queue().await;
    world.set("REDIS_URL", &redis.url());
    let namespace = world.redis.namespace().to_owned();
    world.set("REDIS_NAMESPACE", &namespace);
    redis
}

fn recipients(world: &World) -> HashSet<String> {
    world
        .sink
        .mails()
        .into_iter()
        .flat_map(|mail| mail.to)
        .collect()
}

#[tokio::test]
async fn an_api_that_dies_right_after_its_answer_has_lost_nothing() {
    let world = world().await;
    world.users(6).await;
    for number in 0..6 {
        let mut api = Api::start(&world).await;
        assert_eq!(api.ask_for(&format!("user{number}@example.com")).await, 201);
        api.process.kill().await;
    }

    let _worker = world.process(&[]);

    world.wait_for(MailState::Sent, 6).await;
    assert_eq!(recipients(&world).len(), 6);
}

#[tokio::test]
async fn mails_that_wait_while_redis_is_killed_and_wiped_are_delivered() {
    let mut world = world().await;
    let mut redis = on_own_redis(&mut world).await;
    world.users(10).await;
    let api = Api::start(&world).await;
    for number in 0..5 {
        assert_eq!(api.ask_for(&format!("user{number}@example.com")).await, 201);
    }

    redis.kill().await;
    assert_eq!(
        api.ask_for("user5@example.com").await,
        503,
        "a code is asked for without the limits"
    );
    redis.restart().await;

    let asked = async {
        for number in 5..10 {
            while api.ask_for(&format!("user{number}@example.com")).await != 201 {
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    timeout(PATIENCE, asked)
        .await
        .expect("the API goes on when Redis does");
    let _worker = world.process(&[]);
    world.wait_for(MailState::Sent, 10).await;
    assert_eq!(recipients(&world).len(), 10);
    assert_eq!(
        world.rows().await.len(),
        10,
        "the refused request left something behind"
    );
}

#[tokio::test]
async fn a_redis_that_restarts_or_hangs_under_an_idle_worker_delays_mails_and_loses_none() {
    let mut world = world().await;
    let mut redis = on_own_redis(&mut world).await;
    world.users(6).await;
    let mut worker = world.process(&[]);
    worker.wait_for_line("The worker is ready").await;

    redis.kill().await;
    redis.restart().await;
    for number in 0..3 {
        world.reset(&format!("user{number}@example.com")).await;
    }
    world.wait_for(MailState::Sent, 3).await;

    redis.hang().await;
    for number in 3..6 {
        world.reset(&format!("user{number}@example.com")).await;
    }
    worker.wait_for_line("The relay failed").await;
    redis.go_on().await;

    world.wait_for(MailState::Sent, 6).await;
    assert_eq!(recipients(&world).len(), 6);
    worker.terminate().await;
    assert_eq!(worker.exit().await.code(), Some(0));
}

/// SQLite is a file and does not go away; on PostgreSQL the connection does.
#[tokio::test]
async fn a_postgresql_that_goes_away_is_waited_for_by_both_programs() {
    let mut world = world().await;
    let url = world.database.url().to_owned();
    let Some(rest) = url.strip_prefix("postgres://") else {
        return;
    };
    let (login, place) = rest.split_once('@').unwrap();
    let (target, name) = place.split_once('/').unwrap();
    let line = Forwarder::start(target).await;
    world.set(
        "DATABASE_URL",
        &format!("postgres://{login}@{}/{name}", line.address()),
    );
    world.users(4).await;
    let api = Api::start(&world).await;
    let mut worker = world.process(&[]);
    assert_eq!(api.ask_for("user0@example.com").await, 201);
    world.wait_for(MailState::Sent, 1).await;

    line.cut();
    assert_eq!(api.ask_for("user1@example.com").await, 503);
    // Written past the line that is cut, as by another API.
    world.reset("user2@example.com").await;
    worker.wait_for_line("The relay failed").await;
    line.mend().await;

    let asked = async {
        while api.ask_for("user3@example.com").await != 201 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, asked)
        .await
        .expect("the API goes on when the database does");
    world.wait_for(MailState::Sent, 3).await;
    let expected = [
        "user0@example.com",
        "user2@example.com",
        "user3@example.com",
    ]
    .map(str::to_owned);
    assert_eq!(recipients(&world), HashSet::from(expected));
}
