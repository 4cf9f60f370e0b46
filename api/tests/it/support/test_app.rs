//! What one test has to itself: a server, a worker to drive by hand, and all they stand on.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use latchkey_api::{
    app_state::App,
    config::Config,
    server::{self, connections},
};
use latchkey_shared::{
    clock::Clock,
    config::{Connections, settings::Settings},
    database::Database,
    models::{
        audit,
        mail::{self, MailState},
        user::{self, staff},
    },
    types::email::Email,
};
use latchkey_testing::{Mail, PATIENCE, Process, SmtpSink, TestDatabase, TestRedis};
use latchkey_worker::{metrics::DeliveryMetrics, service};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Duration, sleep, timeout};

/// A password that passes every rule.
pub(crate) const PASSWORD: &str = "velvet harbour lantern";

pub(crate) struct TestApp {
    pub(crate) database: TestDatabase,
    pub(crate) redis: TestRedis,
    pub(crate) sink: SmtpSink,
    pub(crate) clock: Clock,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) statements: Statements,
    registry: prometheus::Registry,
    connections: Connections,
    media: TempDir,
    server: tokio::task::JoinHandle<()>,
}

/// The SQL that the server has executed, parameters left out.
#[derive(Clone, Default)]
pub(crate) struct Statements(Arc<Mutex<Vec<String>>>);

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// The tokens of a login.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Starts an application with these settings changed.
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        Self::on(TestRedis::create().await, more).await
    }

    /// Starts an application on this Redis.
    pub(crate) async fn on(redis: TestRedis, more: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let db = database.db.clone();
        Self::of(database, db, redis, more).await
    }

    /// Starts an application on SQLite, for tests that need it.
    pub(crate) async fn on_sqlite() -> Self {
        Self::with_database(TestDatabase::sqlite().await).await
    }

    /// Starts an application on PostgreSQL, for tests that need it.
    pub(crate) async fn on_postgres() -> Self {
        Self::with_database(TestDatabase::postgres().await).await
    }

    async fn with_database(database: TestDatabase) -> Self {
        let db = database.db.clone();
        Self::of(database, db, TestRedis::create().await, &[]).await
    }

    /// Starts an application whose server uses its own connections to the database.
    pub(crate) async fn of(
        database: TestDatabase,
        db: Database,
        redis: TestRedis,
        more: &[(&str, &str)],
    ) -> Self {
        let (sink, media) = (SmtpSink::start(), tempfile::tempdir().unwrap());
        let listener = connections::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let variables = [
            ("DATABASE_URL", database.url()),
            ("REDIS_URL", redis.url()),
            ("REDIS_NAMESPACE", redis.namespace()),
            ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
            ("SMTP_URL", &format!("{}?tls=none", sink.url())),
            ("PUBLIC_URL", &base),
            ("MEDIA_DIR", media.path().to_str().unwrap()),
            // Cheap, because these tests are about everything but the cost of a hash.
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_ITERATIONS", "1"),
            ("HASH_QUEUE_SECONDS", "60"),
            ("METRICS_BIND", "off"),
            // Out of the way of every test but those about them.
            ("MAX_CONNECTIONS", "10000"),
            ("MAX_CONNECTIONS_IP", "10000"),
            ("LIMIT_LOGIN_IP", "100000/1"),
            ("LIMIT_REGISTER_IP", "100000/1"),
            ("LIMIT_RESET_IP", "100000/1"),
            ("LIMIT_MAIL_CAUSE", "100000/1"),
            ("LIMIT_MAIL_COOLDOWN", "100000/1"),
            ("LIMIT_MAIL_HOUR", "100000/1"),
            ("LIMIT_MAIL_DAY", "100000/1"),
            ("LIMIT_OTP_IP", "100000/1"),
            ("LIMIT_OTP_EMAIL", "100000/1"),
            ("LIMIT_OTP_EMAIL_IP", "100000/1"),
            ("LIMIT_RESET_PASSWORD_IP", "100000/1"),
            ("LIMIT_EMAIL_CHANGE", "100000/1"),
            ("LIMIT_PASSWORD_CHANGE", "100000/1"),
            ("LIMIT_PICTURE_ACCOUNT", "100000/1"),
            ("LIMIT_PICTURE_IP", "100000/1"),
            ("LIMIT_LOGIN_FREE_FAILURES", "1000000"),
            ("LIMIT_LOGIN_FAILURES", "1000000"),
        ];
        let variables: BTreeMap<String, String> = variables
            .iter()
            .chain(more)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let statements = Statements::default();
        let connections = Connections {
            db: statements.of(db),
            redis: latchkey_shared::redis::connect(redis.url(), redis.namespace())
                .await
                .unwrap(),
            queue: redis.queue().await,
        };
        let clock = Clock::fixed();
        let config = Config::read(Settings::from_pairs(variables.clone())).unwrap();
        let app = App::new(config, connections.clone(), clock.clone()).unwrap();
        // As `latchkey-api migrate` does.
        audit::seal_empty(&database.db, &app.audit_key, true)
            .await
            .unwrap();
        let registry = app.metrics.registry().clone();
        let server = tokio::spawn(async move {
            server::serve(app, listener, std::future::pending())
                .await
                .unwrap();
        });
        Self {
            database,
            redis,
            sink,
            clock,
            variables,
            base,
            http: client(),
            statements,
            registry,
            connections,
            media,
            server,
        }
    }

    /// Another API of this installation, on a machine whose clock is wrong by `skew`; returns its base URL.
    pub(crate) async fn api_with_skew(&self, skew: TimeDelta) -> String {
        let clock = Clock::system_with_skew(skew);
        clock.follow(&self.connections.redis).await;
        let config = Config::read(Settings::from_pairs(self.variables.clone())).unwrap();
        let app = App::new(config, self.connections.clone(), clock).unwrap();
        let listener = connections::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            server::serve(app, listener, std::future::pending())
                .await
                .unwrap();
        });
        base
    }

    /// The server's own way to the database.
    pub(crate) fn server_db(&self) -> &Database {
        &self.connections.db
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).as_ref().into());
        Answer {
            status,
            headers,
            body,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub(crate) async fn get_user(&self, access: &str) -> Answer {
        self.send(self.request(Method::GET, "/api/user/").bearer_auth(access))
            .await
    }

    pub(crate) async fn patch_user(&self, access: &str, body: Value) -> Answer {
        self.send(
            self.request(Method::PATCH, "/api/user/")
                .bearer_auth(access)
                .json(&body),
        )
        .await
    }

    pub(crate) async fn register(&self, email: &str) -> Answer {
        let answer = self.post("/api/register/", registration(email)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    }

    pub(crate) async fn user(&self, email: &str) -> user::Model {
        user::find_by_email(&self.database.db, &email.parse().unwrap())
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn activate(&self, email: &str) {
        let id = self.user(email).await.id;
        assert!(user::activate(&self.database.db, id).await.unwrap());
    }

    /// Somebody who may sign in to the dashboard and do this there.
    pub(crate) async fn staff(&self, email: &str, permissions: &str) {
        self.grant(email, false, permissions).await;
    }

    /// Somebody who may do everything there.
    pub(crate) async fn superuser(&self, email: &str) {
        self.grant(email, true, "").await;
    }

    async fn grant(&self, email: &str, is_superuser: bool, permissions: &str) {
        self.register(email).await;
        self.activate(email).await;
        let change = staff::Change {
            is_staff: Some(true),
            is_superuser: Some(is_superuser),
            permissions: Some(permissions.parse().unwrap()),
            ..staff::Change::default()
        };
        let seen = self.user(email).await;
        let changed = staff::change(&self.database.db, &seen, change, self.clock.now()).await;
        assert!(changed.unwrap().is_some());
    }

    pub(crate) async fn deactivate(&self, email: &str) {
        let id = self.user(email).await.id;
        assert!(
            user::deactivate(&self.database.db, id, self.clock.now())
                .await
                .unwrap()
        );
    }

    pub(crate) async fn try_login(&self, email: &str, password: &str) -> Answer {
        self.post("/api/login/", json!({"email": email, "password": password}))
            .await
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Tokens {
        let answer = self.try_login(email, password).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Tokens {
            access: answer.text("/token/access"),
            refresh: answer.text("/token/refresh"),
        }
    }

    /// An activated account that is logged in.
    pub(crate) async fn logged_in_user(&self, email: &str) -> Tokens {
        self.register(email).await;
        self.activate(email).await;
        self.login(email, PASSWORD).await
    }

    /// Runs the worker's deliveries for everything that waits.
    pub(crate) async fn deliver_all(&self) {
        let config =
            latchkey_worker::config::Config::read(Settings::from_pairs(self.variables.clone()))
                .unwrap();
        let registry = DeliveryMetrics::new(&prometheus::Registry::new()).unwrap();
        let delivery =
            service::delivery(&config, &self.connections, &self.clock, registry).unwrap();
        let mut waiting = mail::list(&self.database.db, Some(MailState::Queued), 10_000)
            .await
            .unwrap();
        // Ids sort by time, also within one moment of a clock that stands still.
        waiting.sort_by_key(|mail| mail.id);
        for mail in waiting {
            delivery.deliver(mail.id).await.unwrap();
        }
    }

    /// Delivers, and returns what has arrived in a mailbox, oldest first.
    pub(crate) async fn mails_to(&self, email: &str) -> Vec<Mail> {
        self.deliver_all().await;
        let key = |email: &str| email.parse::<Email>().unwrap().key();
        let mailbox = key(email);
        self.sink
            .mails()
            .into_iter()
            .filter(|mail| mail.to.iter().all(|to| key(to) == mailbox))
            .collect()
    }

    /// Asks for a reset; the token and the code that was mailed.
    pub(crate) async fn request_reset(&self, email: &str) -> (String, String) {
        let answer = self
            .post("/auth/email_request/", json!({"email": email}))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let mails = self.mails_to(email).await;
        (
            answer.text("/token"),
            code_in(mails.last().expect("a mail with a code")),
        )
    }

    pub(crate) async fn check(&self, token: &str, otp: &str) -> Answer {
        self.post("/auth/check_otp/", json!({"token": token, "otp": otp}))
            .await
    }

    pub(crate) async fn reset(&self, token: &str, password: &str) -> Answer {
        self.post(
            "/auth/reset_password/",
            json!({"token": token, "new_password": password}),
        )
        .await
    }

    pub(crate) fn advance_clock(&self, time: TimeDelta) {
        self.clock.advance(time);
    }

    /// The files in the folder of pictures.
    pub(crate) fn pictures(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(self.media.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let registry = self.registry.gather();
        let figure = registry.iter().find(|figure| figure.name() == name);
        let metric = &figure.unwrap().get_metric()[0];
        // One of the two is there, and the other is 0.
        let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
        format!("{value}").parse().unwrap()
    }

    /// What the metric says of a dependency: 1 when it works.
    pub(crate) fn dependency_up(&self, dependency: &str) -> f64 {
        let metrics = self.registry.gather();
        let up = metrics
            .iter()
            .find(|metric| metric.name() == "latchkey_dependency_up");
        let of_dependency = up
            .unwrap()
            .get_metric()
            .iter()
            .find(|metric| metric.get_label()[0].value() == dependency);
        of_dependency.unwrap().get_gauge().get_value()
    }

    /// How many passwords the server has hashed, or verified.
    pub(crate) fn hashes(&self) -> u64 {
        let registry = self.registry.gather();
        let waits = registry
            .iter()
            .find(|figure| figure.name() == "latchkey_password_wait_seconds");
        waits.unwrap().get_metric()[0]
            .get_histogram()
            .get_sample_count()
    }

    /// The built program, in this app.
    /// A command with this as its standard output.
    pub(crate) fn process_with_stdout(&self, arguments: &[&str], stdout: Stdio) -> Process {
        let program = env!("CARGO_BIN_EXE_latchkey-api");
        Process::spawn_with_stdout(program, arguments, &self.variables, stdout)
    }

    pub(crate) fn process(&self, arguments: &[&str]) -> Process {
        Process::spawn(
            env!("CARGO_BIN_EXE_latchkey-api"),
            arguments,
            &self.variables,
        )
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Statements {
    /// The pool, whose statements are noted from now on.
    fn of(&self, mut db: Database) -> Database {
        let noted = self.0.clone();
        db.set_metric_callback(move |info| noted.lock().unwrap().push(info.statement.sql.clone()));
        db
    }

    /// Those since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Answer {
    /// The text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> String {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no text at {pointer} in {self:?}"))
            .to_owned()
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        self.body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    /// Checks that this is a whole problem of a type.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, name: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.text("/type"), format!("/problems/{name}"), "{self:?}");
        assert_eq!(self.body["status"], status);
        assert_eq!(
            self.text("/instance"),
            self.headers["x-request-id"].to_str().unwrap()
        );
        assert!(
            !self.text("/title").is_empty() && self.text("/detail").ends_with(['.', '`']),
            "{self:?}"
        );
    }

    /// The bad fields of a problem, with their codes.
    pub(crate) fn bad_fields(&self) -> Vec<(String, String)> {
        let errors = self.body["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors in {self:?}"));
        errors
            .iter()
            .map(|error| {
                (
                    error["field"].as_str().unwrap().to_owned(),
                    error["code"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    }
}

/// Waits for what is bound to happen.
pub(crate) async fn until(happened: impl AsyncFn() -> bool) {
    let waiting = async {
        while !happened().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it did not happen");
}

pub(crate) fn registration(email: &str) -> Value {
    json!({"email": email, "username": "Ada", "password": PASSWORD})
}

/// The code in a mail, which stands at the beginning of its subject.
pub(crate) fn code_in(mail: &Mail) -> String {
    let code = mail.subject.split(' ').next().unwrap();
    assert!(
        code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{:?}",
        mail.subject
    );
    code.to_owned()
}

/// A code that is not this one.
pub(crate) fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}
