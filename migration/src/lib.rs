//! The database schema for SQLite and PostgreSQL, in steps that run once each and in order.
//!
//! A step keeps the previous version working, so that programs can be replaced one by one: it adds columns with a default, and the
//! next version removes columns that are no longer used. Steps cannot be undone.
//!
//! This crate defines the shape of the tables. The entities in `shared` document the columns.

pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::{
    prelude::{DbErr, MigrationTrait, SchemaManager, async_trait},
    sea_orm::{ConnectionTrait as _, DatabaseConnection, EntityTrait as _},
    seaql_migrations,
};

mod m0001_users;
mod m0002_sessions;
mod m0003_password_resets;
mod m0004_mails;
mod m0005_audit_events;
mod m0006_users_search;
mod m0007_write_checks;
mod m0008_data_keys;
mod m0009_signing_keys;
mod m0010_export_permission;
mod m0011_users_search_text;
mod m0012_roles;
mod m0013_user_language;
mod m0014_audit_details;
mod m0015_imported_users;
mod m0016_old_hashes;
mod m0017_original_tokens;
mod m0018_reset_device;
mod m0019_email_change;
mod m0020_account_deletion;
mod m0021_new_device;
mod m0022_second_factors;
mod m0023_api_tokens;

/// All steps, oldest first. `latchkey-api migrate` runs those that the database lacks.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_users::Migration),
            Box::new(m0002_sessions::Migration),
            Box::new(m0003_password_resets::Migration),
            Box::new(m0004_mails::Migration),
            Box::new(m0005_audit_events::Migration),
            Box::new(m0006_users_search::Migration),
            Box::new(m0007_write_checks::Migration),
            Box::new(m0008_data_keys::Migration),
            Box::new(m0009_signing_keys::Migration),
            Box::new(m0010_export_permission::Migration),
            Box::new(m0011_users_search_text::Migration),
            Box::new(m0012_roles::Migration),
            Box::new(m0013_user_language::Migration),
            Box::new(m0014_audit_details::Migration),
            Box::new(m0015_imported_users::Migration),
            Box::new(m0016_old_hashes::Migration),
            Box::new(m0017_original_tokens::Migration),
            Box::new(m0018_reset_device::Migration),
            Box::new(m0019_email_change::Migration),
            Box::new(m0020_account_deletion::Migration),
            Box::new(m0021_new_device::Migration),
            Box::new(m0022_second_factors::Migration),
            Box::new(m0023_api_tokens::Migration),
        ]
    }
}

/// The step that creates the audit log. `latchkey-api migrate` seals the chain head after this step: an unsealed empty log that is found
/// later may have been emptied.
pub const AUDIT_LOG_STEP: &str = "m0005_audit_events";

/// The step that creates the table of data keys. `latchkey-api migrate` creates the keys after this step: an empty table that is found
/// later has lost them.
pub const DATA_KEYS_STEP: &str = "m0008_data_keys";

/// Creates indexes, each given by its name and the table, columns and rows that it covers.
async fn create_indexes(
    manager: &SchemaManager<'_>,
    indexes: &[(&str, &str)],
) -> Result<(), DbErr> {
    for (name, on) in indexes {
        let statement = format!("CREATE INDEX {name} ON {on}");
        manager
            .get_connection()
            .execute_unprepared(&statement)
            .await?;
    }
    Ok(())
}

/// Returns the number of steps that a database lacks. Ignores steps of newer programs. Writes nothing, not even the table of steps.
pub async fn missing(db: &DatabaseConnection) -> Result<usize, DbErr> {
    Ok(missing_steps(db).await?.len())
}

/// Returns the names of the steps that a database lacks.
pub async fn missing_steps(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let applied = if SchemaManager::new(db).has_table("seaql_migrations").await? {
        seaql_migrations::Entity::find().all(db).await?
    } else {
        Vec::new()
    };
    let known = Migrator::migrations();
    Ok(known
        .iter()
        .map(|step| step.name().to_owned())
        .filter(|name| !applied.iter().any(|row| row.version == *name))
        .collect())
}
