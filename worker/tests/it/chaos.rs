//! Every fault that must lose no mail, on the real programs: the built API and worker, a Redis of their own, a database
//! of their own, and an SMTP server that fails as told.
//!
//! `deploy/test` runs these tests in a short form. With `CHAOS=long`, as `deploy/chaos` runs them, there are more mails
//! and longer outages. Each test ends with a row of the table (see [`Installation::report`]); with `CHAOS_TABLE`, the
//! rows are added to that file.

use std::{
    collections::{HashMap, HashSet},
    fs::OpenOptions,
    io::Write as _,
    path::Path,
    time::Duration,
};

use chrono::TimeDelta;
use latchkey_shared::{clock::Clock, models::mail::MailState};
use latchkey_testing::{PATIENCE, Process, RedisServer, TestRedis, variable};
use tokio::time::{sleep, timeout};

use crate::world::World;

mod api;
mod backlog;
mod database;
mod figures;
mod mails;
mod redis;
mod rolling;
mod secrets;
mod smtp;
mod traces;
mod workers;

/// No answer takes longer than the time-outs inside it.
const IN_TIME: Duration = Duration::from_secs(20);

/// Whether this is the long form.
fn is_long() -> bool {
    variable("CHAOS").as_deref() == Some("long")
}

/// One number for the short form, another for the long.
fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// Where everything runs.
struct Installation {
    world: World,
    redis: RedisServer,
    http: reqwest::Client,
}

impl Installation {
    async fn new() -> Self {
        let mut world = World::new().await;
        world.clock = Clock::system();
        for (key, value) in [
            ("BIND", "127.0.0.1:0"),
            ("MEDIA_DIR", "media"),
            ("LIMIT_RESET_PEER", "100000/1"),
            ("LIMIT_MAIL_CAUSE", "100000/1"),
            ("LIMIT_MAIL_COOLDOWN", "100000/1"),
            ("LIMIT_MAIL_HOUR", "100000/1"),
            ("LIMIT_MAIL_DAY", "100000/1"),
            ("LIMIT_REGISTER_PEER", "100000/1"),
        ] {
            world.set(key, value);
        }
        let redis = RedisServer::start().await;
        world.redis = TestRedis::at(&redis.url()).await;
        world.connections.queue = world.redis.queue().await;
        world.set("REDIS_URL", &redis.url());
        let namespace = world.redis.namespace().to_owned();
        world.set("REDIS_NAMESPACE", &namespace);
        Self {
            world,
            redis,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// One with so many accounts: `user0@example.com` and so on.
    async fn with_users(count: usize) -> Self {
        let installation = Self::new().await;
        installation.world.users(count).await;
        installation
    }

    async fn api(&self) -> Api {
        let worker = Path::new(env!("CARGO_BIN_EXE_latchkey-worker"));
        let program = worker.with_file_name("latchkey-api");
        assert!(
            program.exists(),
            "there is no {}: run `cargo build --workspace` first",
            program.display()
        );
        let variables = &self.world.variables;
        let mut process = Process::spawn(program.to_str().unwrap(), &["serve"], variables);
        let line = process.wait_for_line("Latchkey serves.").await;
        let address = line.rsplit("address=").next().unwrap().trim().to_owned();
        Api {
            process,
            address,
            http: self.http.clone(),
        }
    }

    /// A worker that is ready.
    async fn worker(&self) -> Process {
        let mut worker = self.world.process(&[]);
        worker.wait_for_line("Worker ready").await;
        worker
    }

    async fn workers(&self, count: usize) -> Vec<Process> {
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(self.worker().await);
        }
        workers
    }

    /// Waits until so many mails were sent, however long that takes as long as it goes on.
    async fn all_sent(&self, count: usize) {
        let mut sent = 0;
        // Counting takes its time, too.
        let pause = Duration::from_millis(if count > 10_000 { 1_000 } else { 50 });
        while sent < count {
            let more = async {
                while self.world.count(MailState::Sent).await <= sent {
                    sleep(pause).await;
                }
            };
            assert!(
                timeout(PATIENCE, more).await.is_ok(),
                "{sent} of {count} mails were sent, and then none for a minute; waiting: {:#?}",
                self.waiting().await
            );
            sent = self.world.count(MailState::Sent).await;
        }
    }

    async fn waiting(&self) -> Vec<latchkey_shared::models::mail::Model> {
        let db = &self.world.database.db;
        let waiting = latchkey_shared::models::mail::list(db, Some(MailState::Queued), 5).await;
        waiting.unwrap()
    }

    /// Waits until every mail that waits was tried.
    async fn all_tried(&self) {
        let tried = async {
            while self.world.rows().await.iter().any(|it| it.attempts == 0) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, tried).await.expect("a try of each mail");
    }

    /// Compares what was accepted with what arrived, and adds a row to the table: the fault; how many mails were
    /// accepted, how many arrived, how many ended otherwise (as they should); how many arrived again; the longest time
    /// from acceptance to arrival. Whatever arrived again is the same mail: same Message-ID, same recipient, same code.
    async fn report(&self, fault: &str) -> Counts {
        let counts = self.counts().await;
        counts.print(fault);
        counts
    }

    async fn counts(&self) -> Counts {
        let rows = self.world.rows().await;
        let accepted: HashMap<_, _> = rows
            .iter()
            .map(|row| (row.message_id.as_str(), row))
            .collect();
        let mut counts = Counts {
            accepted: rows.len(),
            ended: rows
                .iter()
                .filter(|row| !matches!(row.state, MailState::Sent | MailState::Queued))
                .count(),
            ..Counts::default()
        };
        let mut seen = HashMap::new();
        for mail in self.world.sink.mails() {
            let row = accepted[mail.message_id.as_str()];
            let same = (mail.to.clone(), mail.code());
            if let Some(before) = seen.insert(mail.message_id.clone(), same.clone()) {
                assert_eq!(before, same, "{} is not the same mail again", row.id);
                counts.duplicates += 1;
            } else {
                counts.delivered += 1;
                counts.slowest = counts.slowest.max(mail.at - row.created_at);
            }
        }
        counts
    }
}

/// What became of the mails of a test.
#[derive(Default)]
struct Counts {
    accepted: usize,
    delivered: usize,
    ended: usize,
    duplicates: usize,
    slowest: TimeDelta,
}

impl Counts {
    /// What became of the mails of two rounds.
    fn and(self, other: &Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            delivered: self.delivered + other.delivered,
            ended: self.ended + other.ended,
            duplicates: self.duplicates + other.duplicates,
            slowest: self.slowest.max(other.slowest),
        }
    }

    fn print(&self, fault: &str) {
        let Self {
            accepted,
            delivered,
            ended,
            duplicates,
            slowest,
        } = self;
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let slowest = slowest.num_milliseconds() as f64 / 1000.0;
        let row =
            format!("{fault} | {accepted} | {delivered} | {ended} | {duplicates} | {slowest:.1} s");
        println!("{row}");
        if let Some(path) = variable("CHAOS_TABLE") {
            let table = OpenOptions::new().create(true).append(true).open(path);
            writeln!(table.unwrap(), "| {row} |").unwrap();
        }
    }

    /// Nothing was lost.
    fn all_arrived(&self, accepted: usize) {
        assert_eq!((self.accepted, self.delivered), (accepted, accepted));
    }
}

/// A running API.
struct Api {
    process: Process,
    address: String,
    http: reqwest::Client,
}

impl Api {
    /// Asks for a code; the status of the answer.
    async fn ask_for(&self, email: &str) -> u16 {
        let request = self
            .http
            .post(format!("http://{}/auth/email_request/", self.address))
            .form(&[("email", email)])
            .send();
        let answer = timeout(IN_TIME, request).await.expect("an answer in time");
        answer.unwrap().status().as_u16()
    }

    /// Asks for codes for these accounts, each of which is accepted.
    async fn ask_for_all(&self, users: std::ops::Range<usize>) {
        for number in users {
            assert_eq!(self.ask_for(&user(number)).await, 201);
        }
    }

    /// Asks until it is accepted again.
    async fn ask_until_accepted(&self, email: &str) {
        let asked = async {
            while self.ask_for(email).await != 201 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, asked).await.expect("the API goes on");
    }
}

fn user(number: usize) -> String {
    format!("user{number}@example.com")
}

fn addresses(mails: &[latchkey_testing::Mail]) -> HashSet<String> {
    mails.iter().flat_map(|mail| mail.to.clone()).collect()
}
