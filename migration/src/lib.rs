//! The schema, in steps that run once each and in order, on SQLite and on PostgreSQL.
//!
//! Only the shape of tables belongs here; what the columns mean is said where they are used, in `shared`.

pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::prelude::{MigrationTrait, async_trait};

mod m0001_accounts;
mod m0002_mails;
mod m0004_rotation;
mod m0005_priority;

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
        ]
    }
}
