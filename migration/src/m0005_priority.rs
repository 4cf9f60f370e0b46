//! Mails that go before others, and the trace that a mail belongs to.

use sea_orm_migration::{
    prelude::*,
    schema::{boolean, string_len_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time. A program of the version before leaves them at their defaults.
        for mut column in [
            boolean(Mails::Urgent).default(false).to_owned(),
            string_len_null(Mails::Trace, 64),
        ] {
            let change = Table::alter()
                .table(Mails::Table)
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        let db = manager.get_connection();
        for statement in [
            "UPDATE mails SET urgent = TRUE WHERE kind = 'reset_code' AND state = 'queued'",
            "DROP INDEX idx_mails_due",
            // The relay asks once a second for what is due, the figures for the oldest that waits. Both indexes hold
            // waiting rows alone, so their size follows the backlog and not the history.
            "CREATE INDEX idx_mails_turn ON mails (urgent, next_attempt_at) WHERE state = 'queued'",
            "CREATE INDEX idx_mails_waiting ON mails (created_at) WHERE state = 'queued'",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "DROP INDEX idx_mails_waiting",
            "DROP INDEX idx_mails_turn",
            "CREATE INDEX idx_mails_due ON mails (next_attempt_at) WHERE state = 'queued'",
        ] {
            db.execute_unprepared(statement).await?;
        }
        for column in [Mails::Urgent, Mails::Trace] {
            let change = Table::alter()
                .table(Mails::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    Urgent,
    Trace,
}
