//! The application under test: an API server, mail deliveries run on demand, and a database, Redis and SMTP server of
//! its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use latchkey_api::{
    accounts::deletion,
    app_state::App,
    auth::jwt::signing_keys::{SigningKeyMetrics, SigningKeys},
    config::Config,
    server::{self, connections},
};
use latchkey_shared::{
    clock::Clock,
    config::{Connections, settings::Settings},
    crypto::data_keys::DataKeys,
    database::Database,
    models::{
        imported_user,
        mail::{self, MailState},
        signing_key::SigningAlgorithm,
        user::{self, staff},
    },
    types::email::Email,
};
use latchkey_testing::{Mail, Process, SECRET_KEY, SmtpSink, TestDatabase, TestRedis};
use latchkey_worker::{housekeeping, metrics::DeliveryMetrics, service};
use reqwest::{Method, StatusCode, header::HeaderMap};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A password that the password policy accepts.
pub(crate) const PASSWORD: &str = "velvet harbour lantern";

/// The calls with a body that need no login.
pub(crate) const PUBLIC_POSTS: [&str; 7] = [
    "/api/register/",
    "/api/login/",
    "/auth/refresh/",
    "/auth/email_request/",
    "/auth/check_otp/",
    "/auth/reset_password/",
    "/auth/logout/",
];

const PROGRAM: &str = env!("CARGO_BIN_EXE_latchkey-api");

/// Settings of every test application.
const TEST_SETTINGS: &[(&str, &str)] = &[
    ("SECRET_KEY", SECRET_KEY),
    // Cheap hashes: only the tests of the hash cost need realistic parameters.
    ("ARGON2_MEMORY_KIB", "64"),
    ("ARGON2_ITERATIONS", "1"),
    ("HASH_QUEUE_SECONDS", "60"),
    ("BIND", "127.0.0.1:0"),
    ("METRICS_BIND", "off"),
    // Limits high enough that only the tests of the limits reach them.
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
    ("LIMIT_EXPORT", "100000/1"),
    ("LIMIT_PICTURE_ACCOUNT", "100000/1"),
    ("LIMIT_PICTURE_IP", "100000/1"),
    // Tests log in from many client IPs, and only those of this mail count it.
    ("NEW_DEVICE_MAIL", "off"),
    ("LIMIT_LOGIN_FREE_FAILURES", "1000000"),
    ("LIMIT_LOGIN_FAILURES", "1000000"),
];

/// An API server that runs in the test's process.
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

/// The SQL that the server has executed, without parameters.
#[derive(Clone, Default)]
pub(crate) struct Statements(Arc<Mutex<Vec<String>>>);

/// A response with its body read: JSON, else a string.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// The tokens from a login.
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
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::on_redis(TestRedis::create().await, settings).await
    }

    /// Starts an application that locks out an account after this many failed logins.
    pub(crate) async fn with_lockout_after(failures: u32) -> Self {
        let failures = failures.to_string();
        Self::with(&[
            ("LIMIT_LOGIN_FREE_FAILURES", &failures),
            ("LIMIT_LOGIN_FAILURES", "100"),
        ])
        .await
    }

    /// Starts an application on this Redis.
    pub(crate) async fn on_redis(redis: TestRedis, settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let db = database.db.clone();
        Self::on_database(database, db, redis, settings).await
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
        Self::on_database(database, db, TestRedis::create().await, &[]).await
    }

    /// Starts an application whose server uses `db`, a pool of its own on the database.
    pub(crate) async fn on_database(
        database: TestDatabase,
        db: Database,
        redis: TestRedis,
        settings: &[(&str, &str)],
    ) -> Self {
        let (sink, media) = (SmtpSink::start(), tempfile::tempdir().unwrap());
        let (listener, base) = listen();
        let smtp_url = format!("{}?tls=none", sink.url());
        let installation = [
            ("DATABASE_URL", database.url()),
            ("REDIS_URL", redis.url()),
            ("REDIS_NAMESPACE", redis.namespace()),
            ("SMTP_URL", &smtp_url),
            ("PUBLIC_URL", &base),
            ("MEDIA_DIR", media.path().to_str().unwrap()),
        ];
        let mut variables: BTreeMap<String, String> = installation
            .iter()
            .chain(TEST_SETTINGS)
            .chain(settings)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        // An empty value unsets a setting.
        variables.retain(|_, value| !value.is_empty());
        let statements = Statements::default();
        let connections = Connections {
            db: statements.record(db),
            redis: latchkey_shared::redis::connect(redis.url(), redis.namespace())
                .await
                .unwrap(),
            queue: redis.queue(),
        };
        let clock = Clock::fixed();
        let app = app(&variables, &connections, &database.keys, clock.clone()).await;
        Self {
            database,
            redis,
            sink,
            clock,
            variables,
            base,
            http: client(),
            statements,
            registry: app.metrics.registry().clone(),
            connections,
            media,
            server: spawn_server(app, listener),
        }
    }

    /// Starts a second API server of this installation, whose machine's clock is wrong by `skew`; returns its base URL.
    pub(crate) async fn api_with_skew(&self, skew: TimeDelta) -> String {
        let clock = Clock::system_with_skew(skew);
        clock.follow(&self.connections.redis).await;
        let (listener, base) = listen();
        let (connections, keys) = (&self.connections, &self.database.keys);
        spawn_server(
            app(&self.variables, connections, keys, clock).await,
            listener,
        );
        base
    }

    /// Starts a second API server of this installation that opened these data keys; returns its base URL.
    pub(crate) async fn api_with_keys(&self, keys: &DataKeys) -> String {
        let (listener, base) = listen();
        let app = app(&self.variables, &self.connections, keys, self.clock.clone()).await;
        spawn_server(app, listener);
        base
    }

    /// Returns the state of another API server of this installation.
    pub(crate) async fn another_server(&self) -> App {
        let (connections, keys) = (&self.connections, &self.database.keys);
        app(&self.variables, connections, keys, self.clock.clone()).await
    }

    /// Deletes the accounts whose deletion is due, as an API server does once a minute.
    pub(crate) async fn delete_due_accounts(&self) {
        let server = self.another_server().await;
        deletion::delete_due(&server).await.unwrap();
    }

    /// The folder of the pictures.
    pub(crate) fn media_folder(&self) -> &Path {
        self.media.path()
    }

    /// The server's connection pool.
    pub(crate) fn server_db(&self) -> &Database {
        &self.connections.db
    }

    /// Sends a request and reads the response.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> ApiResponse {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).as_ref().into());
        ApiResponse {
            status,
            headers,
            body,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> ApiResponse {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub(crate) async fn get_user(&self, access: &str) -> ApiResponse {
        self.send(self.request(Method::GET, "/api/user/").bearer_auth(access))
            .await
    }

    pub(crate) async fn patch_user(&self, access: &str, body: Value) -> ApiResponse {
        self.send(
            self.request(Method::PATCH, "/api/user/")
                .bearer_auth(access)
                .json(&body),
        )
        .await
    }

    /// Marks an account as imported now.
    pub(crate) async fn mark_imported(&self, email: &str, source: &str) {
        let row = imported_user::Model {
            user_id: self.user(email).await.id,
            source: source.to_owned(),
            imported_at: self.clock.now(),
            fingerprints: vec![1, 2, 3],
            has_new_password: false,
        };
        let inserted = imported_user::insert_many(&self.database.db, vec![row]).await;
        inserted.unwrap();
    }

    pub(crate) async fn register(&self, email: &str) -> ApiResponse {
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

    /// Creates an active staff member with these permissions.
    pub(crate) async fn create_staff(&self, email: &str, permissions: &str) {
        self.grant(email, false, permissions).await;
    }

    /// Creates an active superuser.
    pub(crate) async fn create_superuser(&self, email: &str) {
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

    pub(crate) async fn try_login(&self, email: &str, password: &str) -> ApiResponse {
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

    /// Creates an activated account and logs it in.
    pub(crate) async fn logged_in_user(&self, email: &str) -> Tokens {
        self.register(email).await;
        self.activate(email).await;
        self.login(email, PASSWORD).await
    }

    /// Runs the worker's delivery once for each queued mail.
    pub(crate) async fn deliver_all(&self) {
        let config =
            latchkey_worker::config::Config::read(Settings::from_pairs(self.variables.clone()))
                .unwrap();
        let metrics = DeliveryMetrics::new(&prometheus::Registry::new()).unwrap();
        let (connections, keys) = (&self.connections, &self.database.keys);
        let delivery = service::delivery(&config, connections, keys, &self.clock, metrics).unwrap();
        let mut queued = mail::list(&self.database.db, Some(MailState::Queued), 10_000)
            .await
            .unwrap();
        // Ids sort by creation, also while the test's clock stands still.
        queued.sort_by_key(|mail| mail.id);
        for mail in queued {
            delivery.deliver(mail.id).await.unwrap();
        }
    }

    /// Deletes old rows, as a worker does once an hour.
    pub(crate) async fn run_housekeeping(&self) {
        let settings = Settings::from_pairs(self.variables.clone());
        let retention = latchkey_worker::config::Config::read(settings)
            .unwrap()
            .retention;
        let metrics = DeliveryMetrics::new(&prometheus::Registry::new()).unwrap();
        let (db, now) = (&self.database.db, self.clock.now());
        let deleted = housekeeping::delete_old(db, now, retention, &metrics.removed).await;
        deleted.unwrap();
    }

    /// Delivers the queued mails and returns the mails that a mailbox has received, oldest first.
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

    /// Requests a password reset and returns the token. The mail with the code stays queued.
    pub(crate) async fn request_reset_token(&self, email: &str) -> String {
        let answer = self
            .post("/auth/email_request/", json!({"email": email}))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("/token")
    }

    /// Requests a password reset and returns the token and the mailed code.
    pub(crate) async fn request_reset(&self, email: &str) -> (String, String) {
        let token = self.request_reset_token(email).await;
        let mails = self.mails_to(email).await;
        let code = code_in(mails.last().expect("a mail with a code"));
        (token, code)
    }

    /// Requests resets until `accepts` returns true for a code.
    pub(crate) async fn request_reset_with(
        &self,
        email: &str,
        accepts: impl Fn(&str) -> bool,
    ) -> (String, String) {
        loop {
            let (token, code) = self.request_reset(email).await;
            if accepts(&code) {
                return (token, code);
            }
        }
    }

    pub(crate) async fn check_otp(&self, token: &str, otp: &str) -> ApiResponse {
        self.post("/auth/check_otp/", json!({"token": token, "otp": otp}))
            .await
    }

    pub(crate) async fn reset_password(&self, token: &str, password: &str) -> ApiResponse {
        self.post(
            "/auth/reset_password/",
            json!({"token": token, "new_password": password}),
        )
        .await
    }

    /// Requests a reset and enters its code. Returns the token of the reset.
    pub(crate) async fn request_checked_reset(&self, email: &str) -> String {
        let (token, code) = self.request_reset(email).await;
        assert_eq!(self.check_otp(&token, &code).await.status, 200);
        token
    }

    /// Resets the password of an account through every step.
    pub(crate) async fn complete_reset(&self, email: &str, password: &str) {
        let token = self.request_checked_reset(email).await;
        assert_eq!(self.reset_password(&token, password).await.status, 200);
    }

    pub(crate) async fn refresh(&self, token: &str) -> ApiResponse {
        self.post("/auth/refresh/", json!({"refresh": token})).await
    }

    /// Asserts that the server accepts neither token of a session.
    pub(crate) async fn assert_revoked(&self, tokens: &Tokens) {
        let profile = self.get_user(&tokens.access).await;
        profile.assert_problem(401, "not-authenticated");
        let refreshed = self.refresh(&tokens.refresh).await;
        refreshed.assert_problem(401, "invalid-refresh-token");
    }

    pub(crate) fn advance_clock(&self, time: TimeDelta) {
        self.clock.advance(time);
    }

    /// The files in the picture folder without those of the server's checks, sorted.
    pub(crate) fn pictures(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(self.media.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }

    /// The value of a counter or gauge without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metric = &self.metrics_of(name)[0];
        // A metric has one of the two; the other reads as 0.
        let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
        format!("{value}").parse().unwrap()
    }

    /// The `latchkey_dependency_up` gauge of a dependency: 1 while it works.
    pub(crate) fn dependency_up(&self, dependency: &str) -> f64 {
        let metrics = self.metrics_of("latchkey_dependency_up");
        let up = metrics
            .iter()
            .find(|metric| metric.get_label()[0].value() == dependency);
        up.unwrap().get_gauge().get_value()
    }

    /// The number of passwords that the server has hashed or verified.
    pub(crate) fn password_hash_count(&self) -> u64 {
        self.metrics_of("latchkey_password_hash_wait_seconds")[0]
            .get_histogram()
            .get_sample_count()
    }

    /// The number of computations of each hash function.
    pub(crate) fn hash_functions(&self) -> BTreeMap<String, u64> {
        let metrics = self.metrics_of("latchkey_password_hash_functions_total");
        let count = metrics.iter().map(|metric| {
            let count = format!("{}", metric.get_counter().get_value());
            let function = metric.get_label()[0].value();
            (function.to_owned(), count.parse().unwrap())
        });
        count.collect()
    }

    /// Stores a password hash, as an import does.
    pub(crate) async fn set_password_hash(&self, email: &str, hash: &str) {
        let id = self.user(email).await.id;
        user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(hash))
            .filter(user::Column::Id.eq(id))
            .exec(&*self.database.db)
            .await
            .unwrap();
    }

    fn metrics_of(&self, name: &str) -> Vec<prometheus::proto::Metric> {
        let mut families = self.registry.gather().into_iter();
        let family = families.find(|family| family.name() == name);
        family.unwrap().get_metric().to_vec()
    }

    /// Runs the built `latchkey-api` with this application's settings.
    pub(crate) fn process(&self, arguments: &[&str]) -> Process {
        Process::spawn(PROGRAM, arguments, &self.variables)
    }

    /// Runs a command to its end, asserts its exit code and returns its output.
    pub(crate) async fn run(&self, arguments: &[&str], exit_code: i32) -> String {
        let (code, output) = self.process(arguments).output().await;
        assert_eq!(code, Some(exit_code), "{arguments:?}: {output}");
        output
    }

    /// Runs the built program with `stdout` as its standard output.
    pub(crate) fn process_with_stdout(&self, arguments: &[&str], stdout: Stdio) -> Process {
        Process::spawn_with_stdout(PROGRAM, arguments, &self.variables, stdout)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Statements {
    /// Records the statements that a pool executes from now on.
    fn record(&self, mut db: Database) -> Database {
        let recorded = self.0.clone();
        db.set_metric_callback(move |info| {
            recorded.lock().unwrap().push(info.statement.sql.clone());
        });
        db
    }

    /// Returns and clears the recorded statements.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl ApiResponse {
    /// The string at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> String {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no string at {pointer} in {self:?}"))
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

    /// Asserts a complete problem document (RFC 9457) with this status and type.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, name: &str) {
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

    /// Asserts that this is a 400 problem that names one field.
    #[track_caller]
    pub(crate) fn assert_invalid_field(&self, field: &str, code: &str) {
        self.assert_problem(400, "invalid-input");
        assert_eq!(self.invalid_fields(), [(field.to_owned(), code.to_owned())]);
    }

    /// The `errors` of a problem: field and code.
    pub(crate) fn invalid_fields(&self) -> Vec<(String, String)> {
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

/// The body of a registration.
/// Asserts that problems are the same but for the request id, so that a client cannot tell their reasons apart.
pub(crate) fn assert_same_problems(answers: Vec<ApiResponse>) {
    let bodies: Vec<_> = answers
        .into_iter()
        .map(|mut answer| {
            answer.body["instance"] = Value::Null;
            answer.body
        })
        .collect();
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "{bodies:?}"
    );
}

pub(crate) fn registration(email: &str) -> Value {
    json!({"email": email, "username": "Ada", "password": PASSWORD})
}

/// The one-time code at the beginning of a mail's subject.
pub(crate) fn code_in(mail: &Mail) -> String {
    let code = mail.subject.split(' ').next().unwrap();
    assert!(
        code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{:?}",
        mail.subject
    );
    code.to_owned()
}

/// A one-time code other than `code`.
pub(crate) fn wrong_code(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

/// Listens on a free port; returns the listener and the base URL.
fn listen() -> (TcpListener, String) {
    let listener = connections::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// Creates the first signing key, for servers that cannot.
pub(crate) async fn create_signing_key(database: &TestDatabase) {
    let settings = Settings::from_pairs(TEST_SETTINGS.iter().copied());
    let config = Config::read(settings).unwrap();
    let metrics = SigningKeyMetrics::new(&prometheus::Registry::new()).unwrap();
    let seal = database.keys.signing_key_seal();
    let keys = SigningKeys::new(&database.db, seal, &config, metrics);
    let (algorithm, now) = (SigningAlgorithm::Es256, Clock::fixed().now());
    let created = keys.create(&database.db, &[], algorithm, now, now).await;
    created.unwrap();
}

/// Creates the state of a server, with its signing keys loaded.
async fn app(
    variables: &BTreeMap<String, String>,
    connections: &Connections,
    keys: &DataKeys,
    clock: Clock,
) -> App {
    let config = Config::read(Settings::from_pairs(variables.clone())).unwrap();
    let app = App::new(config, connections.clone(), keys, clock).unwrap();
    let loaded = app.signing_keys.maintain(&app.tokens, app.now()).await;
    loaded.unwrap();
    app
}

fn spawn_server(app: App, listener: TcpListener) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        server::serve(app, listener, std::future::pending())
            .await
            .unwrap();
    })
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}
