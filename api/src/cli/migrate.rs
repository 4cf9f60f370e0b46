//! `latchkey-api migrate`

use latchkey_migration::{AUDIT_LOG_STEP, Migrator, MigratorTrait as _};
use latchkey_shared::{models::audit, output::print_line};

use crate::cli::startup::read_common;

/// Applies the missing migrations. Does nothing if there are none.
pub(super) async fn run() -> anyhow::Result<()> {
    let common = read_common()?;
    let db = common.create_database().await?;
    let missing = latchkey_migration::missing_steps(&db).await?;
    Migrator::up(&*db, None).await?;
    // A log that this run created cannot have been emptied.
    let is_new = missing.iter().any(|step| step == AUDIT_LOG_STEP);
    audit::seal_empty(&db, &common.secret_key.audit_key(), is_new).await?;
    print_line(format_args!("Applied {} migration(s).", missing.len()))?;
    Ok(())
}
