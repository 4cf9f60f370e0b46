//! The environment of one test: database, Redis namespace, SMTP server and configuration.

use std::{collections::BTreeMap, process::Stdio};

use chrono::TimeDelta;
use latchkey_shared::{
    clock::Clock,
    config::{Connections, settings::Settings},
    database,
    dependency::FailureReports,
    health::Checks,
    models::{
        mail::{self, MailKind, MailState},
        password_reset::{self, NewReset, Purpose},
        user,
    },
    outbox::{Outbox, QueuedMail},
    redis::one_time_code::CodeStore,
    types::email::Email,
};
use latchkey_testing::{
    Mail, Process, SECRET_KEY, Security, SmtpSink, TestDatabase, TestRedis, WAIT_TIMEOUT, wait_for,
};
use latchkey_worker::{
    config::Config,
    database_health::DatabaseHealth,
    delivery::{Delivery, Outcome},
    metrics::DeliveryMetrics,
    service::{self, Worker},
};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
};
use uuid::Uuid;

/// The lifetime of a reset.
pub(crate) const RESET: TimeDelta = TimeDelta::minutes(10);

pub(crate) struct TestApp {
    pub(crate) database: TestDatabase,
    pub(crate) redis: TestRedis,
    pub(crate) sink: SmtpSink,
    pub(crate) connections: Connections,
    pub(crate) clock: Clock,
    pub(crate) variables: BTreeMap<String, String>,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with(Security::Plain, None).await
    }

    /// Starts the dependencies with SQLite, for tests that need it.
    pub(crate) async fn on_sqlite() -> Self {
        Self::of(TestDatabase::sqlite().await, Security::Plain, None).await
    }

    /// Starts the dependencies with PostgreSQL, for tests that need it.
    pub(crate) async fn on_postgres() -> Self {
        Self::of(TestDatabase::postgres().await, Security::Plain, None).await
    }

    pub(crate) async fn with(security: Security, credentials: Option<(&str, &str)>) -> Self {
        Self::of(TestDatabase::create().await, security, credentials).await
    }

    async fn of(
        database: TestDatabase,
        security: Security,
        credentials: Option<(&str, &str)>,
    ) -> Self {
        let redis = TestRedis::create().await;
        let sink = SmtpSink::start_with(security, credentials);
        let variables = [
            ("DATABASE_URL", database.url()),
            ("REDIS_URL", redis.url()),
            ("REDIS_NAMESPACE", redis.namespace()),
            ("SECRET_KEY", SECRET_KEY),
            ("SMTP_URL", &sink.url()),
            ("SMTP_CA_FILE", sink.ca_file().to_str().unwrap()),
            ("SMTP_TIMEOUT_SECONDS", "30"),
            ("METRICS_BIND", "off"),
            ("MAX_CONNECTIONS_IP", "1024"),
            ("MAIL_FROM", "Latchkey <no-reply@example.com>"),
            ("PUBLIC_URL", "https://accounts.example.com"),
            ("SUPPORT_ADDRESS", "help@example.com"),
            // Practically no limit, as tests send many mails to one mailbox.
            ("LIMIT_MAIL_CAUSE", "100000/1"),
            ("LIMIT_MAIL_COOLDOWN", "100000/1"),
            ("LIMIT_MAIL_HOUR", "100000/1"),
            ("LIMIT_MAIL_DAY", "100000/1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut app = Self {
            connections: Connections {
                db: database.db.clone(),
                redis: latchkey_shared::redis::connect(redis.url(), redis.namespace())
                    .await
                    .unwrap(),
                queue: redis.queue(),
            },
            database,
            redis,
            sink,
            clock: Clock::fixed(),
            variables: BTreeMap::from(variables),
        };
        if security == Security::Plain && credentials.is_none() {
            app.set("SMTP_URL", &format!("{}?tls=none", app.sink.url()));
        }
        app
    }

    /// Uses another Redis for the programs and the queue.
    pub(crate) async fn use_redis(&mut self, url: &str) {
        self.redis = TestRedis::at(url).await;
        self.connections.queue = self.redis.queue();
        self.set("REDIS_URL", url);
        let namespace = self.redis.namespace().to_owned();
        self.set("REDIS_NAMESPACE", &namespace);
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.variables.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn config(&self) -> Config {
        Config::read(Settings::from_pairs(self.variables.clone())).unwrap()
    }

    pub(crate) fn delivery(&self) -> Delivery {
        let metrics = DeliveryMetrics::new(&prometheus::Registry::new()).unwrap();
        service::delivery(
            &self.config(),
            &self.connections,
            &self.database.keys,
            &self.clock,
            metrics,
        )
        .unwrap()
    }

    pub(crate) async fn deliver(&self, mail: Uuid) -> Outcome {
        self.delivery().deliver(mail).await.unwrap()
    }

    pub(crate) fn codes(&self) -> CodeStore {
        let seal = self.database.keys.code_seal();
        CodeStore::new(self.connections.redis.clone(), self.redis.namespace(), seal)
    }

    /// Starts a worker in this process, with the system clock.
    pub(crate) fn worker(&mut self, concurrency: usize) -> Worker {
        self.clock = Clock::system();
        self.set("WORKER_CONCURRENCY", &concurrency.to_string());
        let checks = Checks::new(&prometheus::Registry::new()).unwrap();
        let health = DatabaseHealth::new(&self.connections.db, &checks);
        Worker::start(
            &self.connections,
            self.delivery(),
            health,
            &self.clock,
            self.config().retention,
        )
    }

    /// A command with this as its standard output.
    pub(crate) fn process_with_stdout(&self, arguments: &[&str], stdout: Stdio) -> Process {
        let program = env!("CARGO_BIN_EXE_latchkey-worker");
        Process::spawn_with_stdout(program, arguments, &self.variables, stdout)
    }

    /// Starts the worker program and returns it with the base URL of its metrics.
    pub(crate) async fn process_with_metrics(&mut self, arguments: &[&str]) -> (Process, String) {
        self.set("METRICS_BIND", "127.0.0.1:0");
        let mut worker = self.process(arguments);
        let url = worker.wait_for_url("Metrics and health checks on").await;
        (worker, url)
    }

    /// Starts the worker program.
    pub(crate) fn process(&self, arguments: &[&str]) -> Process {
        let program = env!("CARGO_BIN_EXE_latchkey-worker");
        Process::spawn(program, arguments, &self.variables)
    }

    pub(crate) async fn user(&self, email: &str) -> user::Model {
        let new = user::NewUser {
            email: email.parse().unwrap(),
            username: "Ada".parse().unwrap(),
            password_hash: "unused".to_owned(),
            phone_number: None,
            picture: None,
            date_birth: None,
            gender: None,
            language: None,
            language_chosen: false,
            is_activated: true,
            pending_email_verification: false,
            is_superuser: false,
        };
        let now = self.clock.now();
        user::insert(&self.database.db, new, now).await.unwrap()
    }

    pub(crate) async fn set_language(&self, user: &user::Model, language: Option<&str>) {
        let change = user::profile::ProfileChange {
            language: Some(language.map(|tag| tag.parse().unwrap())),
            ..Default::default()
        };
        let (db, now) = (&self.database.db, self.clock.now());
        user::profile::change(db, user.clone(), change, now)
            .await
            .unwrap();
    }

    pub(crate) async fn users(&self, count: usize) {
        for number in 0..count {
            self.user(&format!("user{number}@example.com")).await;
        }
    }

    pub(crate) fn outbox(&self) -> Outbox {
        let (queue, registry) = (self.connections.queue.clone(), prometheus::Registry::new());
        let failures = FailureReports::default();
        Outbox::new(queue, "accounts.example.com", &registry, failures).unwrap()
    }

    /// Stores a reset and its mail in one transaction, as the API does, without pushing the mail.
    pub(crate) async fn write_reset(&self, email: &str) -> (Uuid, QueuedMail) {
        let (reset, now) = (Uuid::now_v7(), self.clock.now());
        let email: Email = email.parse().unwrap();
        let hasher = self.database.keys.token_hasher();
        let step = database::begin(&self.database.db).await.unwrap();
        let token = hasher.hash(&reset.to_string());
        let new = NewReset {
            id: reset,
            email: email.key(),
            token_hash: token,
            created_at: now,
            lifetime: RESET,
            purpose: Purpose::Reset,
            device: None,
            user_id: None,
            new_email: None,
        };
        password_reset::insert(&step, new).await.unwrap();
        let code = self
            .outbox()
            .code(reset, Purpose::Reset, &email, "request-1", now, RESET);
        let written = code.insert(&step).await.unwrap();
        step.commit().await.unwrap();
        (reset, written)
    }

    /// Stores a reset and returns its id and that of its mail, which is not pushed.
    pub(crate) async fn reset(&self, email: &str) -> (Uuid, Uuid) {
        let (reset, _not_woken) = self.write_reset(email).await;
        let mail = mail::Entity::find()
            .filter(mail::Column::ResetId.eq(reset))
            .one(&self.database.db)
            .await
            .unwrap();
        (reset, mail.unwrap().id)
    }

    /// Creates an account, stores a reset for it and returns the id of its mail, which is not pushed.
    pub(crate) async fn queue_code(&self, email: &str) -> Uuid {
        self.user(email).await;
        self.reset(email).await.1
    }

    /// Stores a reset for each of `count` users and pushes the mails, as the API does.
    pub(crate) async fn request_resets(&self, count: usize) {
        for number in 0..count {
            let (_, written) = self.write_reset(&format!("user{number}@example.com")).await;
            self.outbox().notify_worker(written).await;
        }
    }

    /// Stores a notice that is not pushed.
    pub(crate) async fn notice(&self, kind: MailKind, user: &user::Model) -> Uuid {
        let (db, now) = (&self.database.db, self.clock.now());
        let outbox = self.outbox();
        let mut notice = outbox.notice_about(kind, user, &user.email, "request-1", now);
        if kind == MailKind::ApiTokenCreated {
            notice = notice.about_api_token("Nightly export".parse().unwrap());
        }
        let _not_woken = notice.insert(db).await.unwrap();
        let mail = mail::Entity::find()
            .filter(mail::Column::UserId.eq(user.id))
            .filter(mail::Column::Kind.eq(kind.as_str()))
            .order_by_desc(mail::Column::Id)
            .one(db)
            .await
            .unwrap();
        mail.unwrap().id
    }

    pub(crate) async fn row(&self, mail: Uuid) -> mail::Model {
        let found = mail::Entity::find_by_id(mail).one(&self.database.db).await;
        found.unwrap().unwrap()
    }

    pub(crate) async fn reset_row(&self, reset: Uuid) -> password_reset::Model {
        let found = password_reset::Entity::find_by_id(reset)
            .one(&self.database.db)
            .await;
        found.unwrap().unwrap()
    }

    pub(crate) async fn rows(&self) -> Vec<mail::Model> {
        mail::list(&self.database.db, None, 1_000_000)
            .await
            .unwrap()
    }

    pub(crate) async fn count(&self, state: MailState) -> usize {
        let mails = mail::Entity::find().filter(mail::Column::State.eq(state));
        let count = mails.count(&self.database.db).await.unwrap();
        usize::try_from(count).unwrap()
    }

    /// Waits until every mail in the database satisfies a condition.
    pub(crate) async fn wait_until_all(&self, condition: impl Fn(&mail::Model) -> bool) {
        wait_for(
            "every mail satisfies the condition",
            async || self.rows().await,
            |rows| rows.iter().all(&condition),
        )
        .await;
    }

    /// Waits until at least `count` mails are in a state.
    pub(crate) async fn wait_for(&self, state: MailState, count: usize) {
        let enough = |rows: &Vec<mail::Model>| {
            let in_state = rows.iter().filter(|row| row.state == state);
            in_state.count() >= count
        };
        let what = format!("{count} mails are {state}");
        wait_for(&what, async || self.rows().await, enough).await;
    }

    /// Waits until no mail is queued and the workers have taken and acknowledged every job.
    pub(crate) async fn wait_until_settled(&self) {
        let queued = async || self.count(MailState::Queued).await;
        wait_for("no mail is queued", queued, |count| *count == 0).await;
        let jobs = async || self.redis.unacknowledged_jobs().await;
        wait_for("every job is acknowledged", jobs, |count| *count == 0).await;
    }

    /// Waits until `count` mails have arrived and all work is done. Fails if more have arrived.
    pub(crate) async fn wait_for_mails(&self, count: usize) -> Vec<Mail> {
        self.sink.wait_for(count).await;
        self.wait_until_settled().await;
        self.mails(count)
    }

    /// Like [`TestApp::wait_for_mails`], but also stops the worker, which ends its deliveries first. So a duplicate that arrives
    /// after the row's end fails the test, too.
    pub(crate) async fn finish(&self, worker: Worker, count: usize) -> Vec<Mail> {
        self.sink.wait_for(count).await;
        self.wait_until_settled().await;
        assert_eq!(worker.stop(WAIT_TIMEOUT).await, 0, "abandoned mails");
        self.mails(count)
    }

    /// Returns the mails that have arrived. Fails if they are not `count`, for example because one was sent twice.
    pub(crate) fn mails(&self, count: usize) -> Vec<Mail> {
        let mails = self.sink.mails();
        let arrived = mails.iter().map(|mail| (&mail.to, &mail.message_id));
        let arrived: Vec<_> = arrived.collect();
        assert_eq!(arrived.len(), count, "arrived: {arrived:#?}");
        mails
    }
}

/// Sends a GET request and returns the response's status and body.
pub(crate) async fn get(url: &str) -> (u16, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
