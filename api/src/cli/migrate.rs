//! `latchkey-api migrate`

use latchkey_migration::{AUDIT_LOG_STEP, DATA_KEYS_STEP, Migrator, MigratorTrait as _};
use latchkey_shared::{
    config::SharedConfig,
    database::Database,
    models::{audit, data_key, user},
    output::print_line,
};

use crate::cli::startup::{explain, read_common};

/// Applies the missing migrations. Does nothing if there are none.
pub(super) async fn run() -> anyhow::Result<()> {
    let common = read_common()?;
    let db = common.create_database().await?;
    let applied = apply(&db, &common).await;
    let applied = applied.map_err(|error| explain(&db, error))?;
    print_line(format_args!("Applied {applied} migration(s)."))?;
    Ok(())
}

/// Applies the missing migrations, and returns their number.
async fn apply(db: &Database, common: &SharedConfig) -> anyhow::Result<usize> {
    let missing = latchkey_migration::missing_steps(db).await?;
    Migrator::up(&**db, None).await?;
    // What this run created cannot have been emptied.
    let is_new = |name: &str| missing.iter().any(|step| step == name);
    let secrets = &common.secret_keys;
    data_key::create_missing(db, secrets, is_new(DATA_KEYS_STEP)).await?;
    data_key::reseal(db, secrets).await?;
    let keys = data_key::load(db, secrets).await?;
    user::search::fill_search_texts(db).await?;
    audit::seal_empty(db, &keys.audit_key(), is_new(AUDIT_LOG_STEP)).await?;
    Ok(missing.len())
}
