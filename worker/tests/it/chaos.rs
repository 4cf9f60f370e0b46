//! Faults that must lose no mail, tested on the built API and worker with their own Redis and database, and an SMTP server that
//! simulates faults.
//!
//! `deploy/test` runs these tests in a short form. `deploy/chaos` sets `CHAOS=long` for more mails and longer outages. Each test
//! prints a row of a table ([`Installation::report`]) and appends it to the file `CHAOS_TABLE`, if set.

use std::{
    collections::{HashMap, HashSet},
    fs::OpenOptions,
    io::Write as _,
    path::Path,
    time::Duration,
};

use chrono::TimeDelta;
use latchkey_shared::{clock::Clock, models::mail::MailState};
use latchkey_testing::{Process, RedisServer, WAIT_TIMEOUT, variable, wait_until};
use tokio::time::{sleep, timeout};

use crate::test_app::TestApp;

mod api;
mod backlog;
mod database;
mod mails;
mod metrics;
mod redis;
mod rolling;
mod secrets;
mod smtp;
mod traces;
mod workers;

/// The timeout of a response, longer than the timeouts inside the API.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns whether the tests run in the long form.
fn is_long() -> bool {
    variable("CHAOS").as_deref() == Some("long")
}

/// Returns the value for the short or the long form.
fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// The programs with their servers.
struct Installation {
    app: TestApp,
    redis: RedisServer,
    http: reqwest::Client,
}

impl Installation {
    async fn new() -> Self {
        Self::of(TestApp::new().await).await
    }

    async fn on_postgres(users: usize) -> Self {
        let installation = Self::of(TestApp::on_postgres().await).await;
        installation.app.users(users).await;
        installation
    }

    async fn of(mut app: TestApp) -> Self {
        app.clock = Clock::system();
        for (key, value) in [
            ("BIND", "127.0.0.1:0"),
            ("MEDIA_DIR", "media"),
            ("LIMIT_RESET_IP", "100000/1"),
            ("LIMIT_REGISTER_IP", "100000/1"),
        ] {
            app.set(key, value);
        }
        let redis = RedisServer::start().await;
        app.use_redis(&redis.url()).await;
        Self {
            app,
            redis,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    /// Creates an installation with `count` accounts: `user0@example.com` and so on.
    async fn with_users(count: usize) -> Self {
        let installation = Self::new().await;
        installation.app.users(count).await;
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
        let variables = &self.app.variables;
        let mut process = Process::spawn(program.to_str().unwrap(), &["serve"], variables);
        let url = process.wait_for_url("Listening on").await;
        let address = url["http://".len()..].to_owned();
        Api {
            process,
            address,
            http: self.http.clone(),
        }
    }

    /// Starts a worker and waits until it is ready.
    async fn worker(&self) -> Process {
        let mut worker = self.app.process(&[]);
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

    /// Waits until `count` mails were sent. Fails only when no mail is sent for a minute.
    async fn wait_until_all_sent(&self, count: usize) {
        let mut sent = 0;
        // Counting many rows takes longer.
        let pause = Duration::from_millis(if count > 10_000 { 1_000 } else { 50 });
        while sent < count {
            let more = async {
                while self.app.count(MailState::Sent).await <= sent {
                    sleep(pause).await;
                }
            };
            assert!(
                timeout(WAIT_TIMEOUT, more).await.is_ok(),
                "{sent} of {count} mails were sent, and then none for a minute; waiting: {:#?}",
                self.waiting().await
            );
            sent = self.app.count(MailState::Sent).await;
        }
    }

    async fn waiting(&self) -> Vec<latchkey_shared::models::mail::Model> {
        let db = &self.app.database.db;
        let waiting = latchkey_shared::models::mail::list(db, Some(MailState::Queued), 5).await;
        waiting.unwrap()
    }

    /// Waits until every mail was attempted.
    async fn wait_until_all_attempted(&self) {
        self.app.wait_until_all(|mail| mail.attempts > 0).await;
    }

    /// Compares accepted with delivered mails, and adds a row to the table: the fault, the numbers of accepted, delivered,
    /// otherwise ended and duplicate mails, and the longest time from acceptance to arrival. Checks that duplicates have the
    /// same Message-ID, recipient and code.
    async fn report(&self, fault: &str) -> Counts {
        let counts = self.counts().await;
        counts.print(fault);
        counts
    }

    async fn counts(&self) -> Counts {
        let rows = self.app.rows().await;
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
        for mail in self.app.sink.mails() {
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

/// The outcome of the mails of a test.
#[derive(Default)]
struct Counts {
    accepted: usize,
    delivered: usize,
    ended: usize,
    duplicates: usize,
    slowest: TimeDelta,
}

impl Counts {
    /// Adds the counts of two rounds.
    fn plus(self, other: &Self) -> Self {
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

    /// Checks that `accepted` mails were accepted and delivered.
    fn assert_none_lost(&self, accepted: usize) {
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
    /// Requests a code and returns the response's status.
    async fn request_code(&self, email: &str) -> u16 {
        let request = self
            .http
            .post(format!("http://{}/auth/email_request/", self.address))
            .form(&[("email", email)])
            .send();
        let answer = timeout(RESPONSE_TIMEOUT, request)
            .await
            .expect("an answer in time");
        answer.unwrap().status().as_u16()
    }

    /// Requests codes for these accounts. Each request must be accepted.
    async fn request_codes(&self, users: std::ops::Range<usize>) {
        for number in users {
            assert_eq!(self.request_code(&user(number)).await, 201);
        }
    }

    /// Requests a code until the API accepts the request.
    async fn request_code_until_accepted(&self, email: &str) {
        wait_until(async || self.request_code(email).await == 201).await;
    }
}

fn user(number: usize) -> String {
    format!("user{number}@example.com")
}

fn addresses(mails: &[latchkey_testing::Mail]) -> HashSet<String> {
    mails.iter().flat_map(|mail| mail.to.clone()).collect()
}
