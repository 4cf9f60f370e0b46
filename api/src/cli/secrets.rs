//! `latchkey-api secrets`

use anyhow::bail;
use clap::Subcommand;
use latchkey_shared::{
    clock::Clock,
    config::{SharedConfig, secret_keys::SecretKeys},
    crypto::data_keys::KeyPurpose,
    database::{self, Database},
    models::{
        audit::{self, EventKind},
        data_key,
    },
    output::print_line,
};

use crate::cli::startup::{by_operator, check_schema, read_common};

/// The commands for `SECRET_KEY` and the data keys that it seals.
#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Show which key seals the data keys, and whether `SECRET_KEY_PREVIOUS` is still needed; exit code 1 if a key is missing
    Status,
    /// Replace the data keys whose `SECRET_KEY` is lost. Stop all programs before. Ends all sessions, API tokens, password resets and
    /// counters of failed logins
    ReplaceLost {
        /// Replace all data keys, because someone has read them
        #[arg(long)]
        all: bool,
        /// Confirm that the replaced keys cannot be restored
        #[arg(long)]
        yes: bool,
    },
}

/// Runs a command for the keys.
pub(super) async fn run(command: SecretsCommand) -> anyhow::Result<()> {
    let common = read_common()?;
    let db = common.connect_database().await?;
    check_schema(&db).await?;
    match command {
        SecretsCommand::Status => status(&common, &db).await,
        SecretsCommand::ReplaceLost { yes: false, .. } => {
            bail!("the replaced keys cannot be restored: stop all programs, and confirm with --yes")
        }
        SecretsCommand::ReplaceLost { all, .. } => replace(&common, &db, all).await,
    }
}

async fn status(common: &SharedConfig, db: &Database) -> anyhow::Result<()> {
    let sealed = data_key::sealed_by(db).await?;
    let seals = |id: &str| {
        sealed
            .iter()
            .filter(|(_, sealed_by)| sealed_by == id)
            .count()
    };
    let secrets = &common.secret_keys;
    for (name, id) in names(secrets) {
        let count = seals(&id);
        print_line(format_args!(
            "{name:<22}  id {id}  seals {count} data key(s)"
        ))?;
    }
    let is_configured = |id: &str| secrets.all().any(|key| key.id() == id);
    let unknown: Vec<_> = sealed.iter().filter(|(_, id)| !is_configured(id)).collect();
    for (purpose, id) in &unknown {
        print_line(format_args!(
            "No configured key opens the data key {purpose}. The key with the id {id} sealed it."
        ))?;
    }
    if !unknown.is_empty() {
        bail!(
            "add the missing key to SECRET_KEY_PREVIOUS, or run `latchkey-api secrets replace-lost --yes` if it is lost"
        );
    }
    print_line(conclusion(
        secrets,
        sealed.len() - seals(&secrets.current().id()),
    ))?;
    Ok(())
}

/// Returns the settings of the keys with the ids of their values.
fn names(secrets: &SecretKeys) -> Vec<(String, String)> {
    let previous = secrets.previous().iter().enumerate();
    let previous =
        previous.map(|(index, key)| (format!("SECRET_KEY_PREVIOUS, {}", index + 1), key.id()));
    let current = ("SECRET_KEY".to_owned(), secrets.current().id());
    std::iter::once(current).chain(previous).collect()
}

fn conclusion(secrets: &SecretKeys, sealed_by_previous: usize) -> &'static str {
    if sealed_by_previous > 0 {
        "SECRET_KEY_PREVIOUS is still needed: start `latchkey-api serve` or run `latchkey-api migrate` to seal all data keys with SECRET_KEY."
    } else if secrets.previous().is_empty() {
        "SECRET_KEY seals all data keys."
    } else {
        "SECRET_KEY seals all data keys. Remove SECRET_KEY_PREVIOUS once every program runs with this SECRET_KEY."
    }
}

async fn replace(common: &SharedConfig, db: &Database, all: bool) -> anyhow::Result<()> {
    let (secrets, now) = (&common.secret_keys, Clock::system().now());
    let transaction = database::begin(db).await?;
    let replaced = data_key::replace(&transaction, secrets, all, now).await?;
    if !replaced.is_empty() {
        let keys = data_key::load(&transaction, secrets).await?;
        let detail = format!("replaced data keys: {}", list(&replaced));
        let event = by_operator(EventKind::Admin, None, &detail);
        audit::append(&transaction, &keys.audit_key(), event, now).await?;
    }
    transaction.commit().await?;
    print_line(format_args!("Replaced {} data key(s).", replaced.len()))?;
    for purpose in replaced {
        print_line(format_args!("{purpose}: {}", consequence(purpose)))?;
    }
    Ok(())
}

fn list(purposes: &[KeyPurpose]) -> String {
    let names: Vec<_> = purposes.iter().map(|it| it.as_str()).collect();
    names.join(", ")
}

/// Returns what is lost with a data key.
fn consequence(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::OneTimeCodes => "mailed codes are rejected; users request new ones",
        KeyPurpose::TokenHashes => "all sessions, open password resets and API tokens have ended",
        KeyPurpose::Fingerprints => "lockouts, counters of failed logins and mail budgets restart",
        KeyPurpose::AuditLog => "`audit verify` reports the earlier events as altered",
        KeyPurpose::RefreshTokens => "all refresh tokens are rejected; users log in again",
        KeyPurpose::SigningKeys => {
            "access tokens are signed with a new key after the next start; the earlier ones stay valid until they expire"
        }
        KeyPurpose::TotpSecrets => {
            "codes of authenticator apps are refused; users log in with a recovery code and set up their app again"
        }
    }
}
