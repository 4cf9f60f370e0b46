//! What the dashboard needs: rights of staff, versions of accounts, what an act changed, and indexes for its lists.

use sea_orm_migration::{
    prelude::*,
    schema::{integer, string_len, text_null},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Each list of the dashboard reads one page of one of these from where the page before ended, so its cost does not grow
/// with the number of accounts. `id` rises with the time of registration.
const INDEXES: [(&str, &str); 12] = [
    ("idx_users_activated", "users (is_activated, id)"),
    ("idx_users_active", "users (is_active, id)"),
    ("idx_users_staff", "users (is_staff, id)"),
    ("idx_users_gender", "users (gender, id)"),
    ("idx_users_joined", "users (created_at)"),
    ("idx_users_name", "users (lower(username), id)"),
    ("idx_audit_events_kind", "audit_events (event, at)"),
    ("idx_audit_events_event", "audit_events (event, seq)"),
    ("idx_audit_events_actor", "audit_events (actor, seq)"),
    ("idx_audit_events_subject", "audit_events (subject)"),
    ("idx_mails_state", "mails (state, id)"),
    ("idx_mails_recipient", "mails (lower(recipient), id)"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time. A program of the version before leaves them at their defaults.
        for mut column in [
            integer(Users::Version).default(0).to_owned(),
            string_len(Users::Permissions, 120).default("").to_owned(),
        ] {
            let change = Table::alter()
                .table(Users::Table)
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        let change = Table::alter()
            .table(AuditEvents::Table)
            .add_column(text_null(AuditEvents::Changes))
            .to_owned();
        manager.alter_table(change).await?;
        let db = manager.get_connection();
        for (name, columns) in INDEXES {
            db.execute_unprepared(&format!("CREATE INDEX {name} ON {columns}"))
                .await?;
        }
        // Whoever never logged in comes before all others. The expression is the one of `latchkey_shared::models::user::search`.
        let never = match manager.get_database_backend() {
            DbBackend::Postgres => "'1970-01-01T00:00:00+00:00'::timestamptz",
            _ => "'1970-01-01T00:00:00+00:00'",
        };
        db.execute_unprepared(&format!(
            "CREATE INDEX idx_users_last_login ON users (coalesce(last_login_at, {never}), id)"
        ))
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP INDEX idx_users_last_login")
            .await?;
        for (name, _) in INDEXES {
            db.execute_unprepared(&format!("DROP INDEX {name}")).await?;
        }
        for column in [Users::Version, Users::Permissions] {
            let change = Table::alter()
                .table(Users::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        let change = Table::alter()
            .table(AuditEvents::Table)
            .drop_column(AuditEvents::Changes)
            .to_owned();
        manager.alter_table(change).await
    }
}

#[derive(DeriveIden)]
enum Users {
    Table,
    Version,
    Permissions,
}

#[derive(DeriveIden)]
enum AuditEvents {
    Table,
    Changes,
}
