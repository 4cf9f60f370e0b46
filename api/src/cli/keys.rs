//! `latchkey-api keys`

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::EventKind,
        signing_key::{self, KeyState, Model, SigningAlgorithm},
    },
    output::print_line,
};

use crate::{
    app_state::App,
    cli::startup::{by_operator, open},
};

/// The commands for the keys that sign access tokens.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the keys
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create the next key. It signs after twice `JWKS_MAX_AGE_SECONDS`, when other services have loaded it
    Rotate {
        /// Let the key sign at once. Services that do not look up unknown key ids reject its tokens until they load the keys again
        #[arg(long)]
        now: bool,
    },
    /// Revoke a key: API servers reject its tokens after some 30 seconds. A key that signs is replaced at once
    Revoke {
        /// The id of the key, which may begin with a hyphen
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

/// Runs a command for the keys.
pub(super) async fn run(command: KeysCommand) -> anyhow::Result<()> {
    let app = open().await?;
    match command {
        KeysCommand::List { json } => list(&app, json).await,
        KeysCommand::Rotate { now } => rotate(&app, now).await,
        KeysCommand::Revoke { kid } => revoke(&app, &kid).await,
    }
}

async fn list(app: &App, json: bool) -> anyhow::Result<()> {
    let (schedule, now) = (app.signing_keys.schedule(), app.now());
    let keys = signing_key::list(&app.db).await?;
    let described = keys.iter().map(|key| {
        let until = schedule
            .accepted_until(&keys, key, now)
            .filter(|_| key.revoked_at.is_none());
        (
            key,
            schedule.state(&keys, key, now),
            key.revoked_at.or(until),
        )
    });
    if json {
        let rows: Vec<_> = described
            .map(|(key, state, until)| to_json(key, state, until))
            .collect();
        return Ok(print_line(serde_json::to_string_pretty(&rows)?)?);
    }
    print_line(format_args!(
        "{:<43}  {:<9}  {:<8}  {:<19}  {:<19}  ACCEPTED UNTIL",
        "KID", "ALGORITHM", "STATE", "CREATED", "SIGNS FROM"
    ))?;
    for (key, state, until) in described {
        print_line(format_args!(
            "{:<43}  {:<9}  {:<8}  {}  {}  {}",
            key.kid,
            key.algorithm,
            state.as_str(),
            time(key.created_at),
            time(key.signs_from),
            until.map_or("-".to_owned(), time)
        ))?;
    }
    Ok(())
}

fn to_json(key: &Model, state: KeyState, until: Option<DateTime<Utc>>) -> serde_json::Value {
    serde_json::json!({
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": state.as_str(),
        "created_at": key.created_at,
        "signs_from": key.signs_from,
        "accepted_until": until,
    })
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

async fn rotate(app: &App, at_once: bool) -> anyhow::Result<()> {
    let algorithm = app.config.tokens.algorithm.pair().context(
        "ACCESS_TOKEN_ALGORITHM is HS256, so ACCESS_TOKEN_SECRET signs access tokens and no key can be rotated",
    )?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    let keys = signing_key::list(&transaction).await?;
    let schedule = app.signing_keys.schedule();
    let signs_from = match schedule.active(&keys, now) {
        Some(_) if !at_once => now + schedule.publication(),
        _ => now,
    };
    let key = create(app, &transaction, &keys, algorithm, signs_from).await?;
    record(app, &transaction, "signing key created", &key.kid).await?;
    transaction.commit().await?;
    print_line(format_args!(
        "Created the key {}. It signs from {}.",
        key.kid,
        time(signs_from)
    ))?;
    Ok(())
}

async fn revoke(app: &App, kid: &str) -> anyhow::Result<()> {
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    if !signing_key::revoke(&transaction, kid, now).await? {
        bail!("no key with the id {kid} can be revoked: see `latchkey-api keys list`");
    }
    let next = replace(app, &transaction, now).await?;
    record(app, &transaction, "signing key revoked", kid).await?;
    if let Some(next) = &next {
        record(app, &transaction, "signing key created", &next.kid).await?;
    }
    transaction.commit().await?;
    print_line(format_args!(
        "Revoked the key {kid}. API servers reject its tokens after some 30 seconds."
    ))?;
    if let Some(next) = next {
        print_line(format_args!("Created the key {}. It signs now.", next.kid))?;
    }
    Ok(())
}

/// Creates a key that signs at once if no key can sign.
async fn replace(
    app: &App,
    transaction: &Transaction,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Model>> {
    let keys = signing_key::list(transaction).await?;
    let active = app.signing_keys.schedule().active(&keys, now);
    match (app.config.tokens.algorithm.pair(), active) {
        (Some(algorithm), None) => {
            let key = create(app, transaction, &keys, algorithm, now).await?;
            Ok(Some(key))
        }
        _ => Ok(None),
    }
}

/// Creates the next key in the transaction.
async fn create(
    app: &App,
    transaction: &Transaction,
    keys: &[Model],
    algorithm: SigningAlgorithm,
    signs_from: DateTime<Utc>,
) -> anyhow::Result<Model> {
    let created = app
        .signing_keys
        .create(transaction, keys, algorithm, app.now(), signs_from)
        .await;
    created.context("no key was created; run the command again")
}

async fn record(app: &App, transaction: &Transaction, what: &str, kid: &str) -> anyhow::Result<()> {
    let event = by_operator(EventKind::Admin, None, &format!("{what}: {kid}"));
    Ok(app.record_in(transaction, event).await?)
}
