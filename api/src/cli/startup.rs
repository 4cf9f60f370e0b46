//! Shared steps of commands: settings, log, connections, arguments, and the audit events of operators.

use anyhow::{Context as _, bail};
use latchkey_shared::{
    clock::Clock,
    config::{SharedConfig, settings::Settings},
    database::Database,
    dependency::Refusal,
    models::{
        audit::{Actor, Details, Event, EventKind},
        data_key::{self, DataKeysError},
    },
    queue::Queue,
    telemetry::{logging, trace::Traces},
};

use crate::{
    app_state::App,
    auth::jwt::signing_keys::SigningKeyError,
    config::Config,
    http::body::fields::{self, FromField},
};

/// Reads the settings, starts the log and connects to the dependencies.
pub(super) async fn open() -> anyhow::Result<App> {
    let config = Config::read(Settings::from_environment())?;
    start_log(&config.common, &Traces::off())?;
    let Opened {
        app, redis_outage, ..
    } = connect(config).await?;
    if let Some(refusal) = redis_outage {
        tracing::warn!(error = %refusal, "Redis fails; the command continues without it");
    }
    Ok(app)
}

/// The application state of a command, and what belongs to its connections.
pub(super) struct Opened {
    pub(super) app: App,
    pub(super) queue: Queue,
    /// Why Redis fails at the start.
    pub(super) redis_outage: Option<Refusal>,
}

/// Connects to the dependencies, and opens the data keys.
pub(super) async fn connect(config: Config) -> anyhow::Result<Opened> {
    let (connections, redis_outage) = config.common.connect().await?;
    let db = &connections.db;
    check_schema(db).await?;
    let keys = data_key::load(db, &config.common.secret_keys).await;
    let keys = keys.map_err(|error| explain(db, error.into()))?;
    let (clock, queue) = (Clock::system(), connections.queue.clone());
    clock.follow(&connections.redis).await;
    Ok(Opened {
        app: App::new(config, connections, &keys, clock)?,
        queue,
        redis_outage,
    })
}

/// Checks that all migrations are applied.
pub(super) async fn check_schema(db: &Database) -> anyhow::Result<()> {
    let missing = latchkey_migration::missing(db).await;
    let missing = missing.map_err(|error| explain(db, error.into()))?;
    if missing > 0 {
        bail!("the database lacks {missing} migration(s): run `latchkey-api migrate` first");
    }
    Ok(())
}

/// Explains a database error at the start. Returns other errors as they are.
pub(super) fn explain(db: &Database, error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast() {
        Ok(DataKeysError::Database(error)) => error.into(),
        Ok(other) => return other.into(),
        Err(error) => error,
    };
    let error = match error.downcast() {
        Ok(SigningKeyError::Database(error)) => error.into(),
        Ok(other) => return other.into(),
        Err(error) => error,
    };
    match error.downcast() {
        Ok(error) => anyhow::Error::from(db.explain(error)).context("DATABASE_URL"),
        Err(error) => error,
    }
}

/// Reads the settings that both programs have, and starts the log.
pub(super) fn read_common() -> anyhow::Result<SharedConfig> {
    let mut settings = Settings::from_environment();
    let common = SharedConfig::read(&mut settings);
    settings.finish()?;
    let common = common.context("SECRET_KEY is not set")?;
    start_log(&common, &Traces::off())?;
    Ok(common)
}

pub(super) fn start_log(common: &SharedConfig, traces: &Traces) -> anyhow::Result<()> {
    logging::start(common.log_format, &common.log_filter, traces).map_err(|error| {
        anyhow::anyhow!("RUST_LOG: expected a filter such as warn,latchkey=info ({error})")
    })
}

/// Parses an argument or an entered value by the rules of a request field.
pub(super) fn parse<T: FromField>(name: &str, text: &str) -> anyhow::Result<T> {
    fields::read(text).with_context(|| format!("invalid {name}"))
}

/// Creates the audit event of an operator's action.
pub(super) fn by_operator(kind: EventKind, user_id: Option<i64>, detail: &str) -> Event {
    Event {
        kind,
        actor: Actor::Operator,
        user_id,
        session_id: None,
        subject: None,
        client_ip: None,
        request_id: "latchkey-api".to_owned(),
        detail: Some(detail.to_owned()),
        changes: None,
        details: Details::default(),
    }
}
