//! The schema, in steps that run once each and in order, on SQLite and on PostgreSQL.
//!
//! A step leaves working what the version before needs, so that its programs go on, and can be started, while they are
//! replaced one by one: columns are added with a default, and what nobody uses any more goes a version later.
//!
//! Only the shape of tables belongs here; what the columns mean is said where they are used, in `shared`.

pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::{
    prelude::{DbErr, MigrationTrait, SchemaManager, async_trait},
    sea_orm::{DatabaseConnection, EntityTrait as _},
    seaql_migrations,
};

mod m0001_accounts;
mod m0002_mails;
mod m0004_rotation;
mod m0005_priority;
mod m0006_audit;
mod m0007_dashboard;
mod m0008_search;
mod m0010_audit_guards;
mod m0011_dashboard_lists;
mod m0012_pending_email_verification;
mod m0013_code_purpose;
mod m0014_pending_accounts;
mod m0015_write_checks;
mod m0016_mail_budgets;
mod m0017_mail_recipient_key;
mod m0018_mail_failures;
mod m0019_email_verification;

/// All steps, oldest first. `latchkey-api migrate` runs those a database has not seen.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Migration),
            Box::new(m0002_mails::Migration),
            Box::new(m0004_rotation::Migration),
            Box::new(m0005_priority::Migration),
            Box::new(m0006_audit::Migration),
            Box::new(m0007_dashboard::Migration),
            Box::new(m0008_search::Migration),
            Box::new(m0010_audit_guards::Migration),
            Box::new(m0011_dashboard_lists::Migration),
            Box::new(m0012_pending_email_verification::Migration),
            Box::new(m0013_code_purpose::Migration),
            Box::new(m0014_pending_accounts::Migration),
            Box::new(m0015_write_checks::Migration),
            Box::new(m0016_mail_budgets::Migration),
            Box::new(m0017_mail_recipient_key::Migration),
            Box::new(m0018_mail_failures::Migration),
            Box::new(m0019_email_verification::Migration),
        ]
    }
}

/// The step since which `latchkey-api migrate` seals the head of an audit log that has no event yet. Of one that is empty
/// later without a seal nobody can say that it always was.
pub const SEALS_THE_EMPTY_AUDIT_LOG: &str = "m0010_audit_guards";

/// How many of this program's steps a database has not seen; steps of newer programs are not its business. Writes
/// nothing, not even the table of steps.
pub async fn missing(db: &DatabaseConnection) -> Result<usize, DbErr> {
    Ok(missing_steps(db).await?.len())
}

/// The names of those steps.
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
