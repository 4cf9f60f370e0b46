//! The audit log: a chain of events and its head.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, integer, string_len, string_len_null, text_null,
        timestamp_with_time_zone, uuid_null,
    },
    sea_orm::DbBackend,
};

use crate::create_indexes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const INDEXES: [(&str, &str); 5] = [
    ("idx_audit_events_user_id", "audit_events (user_id, seq)"),
    ("idx_audit_events_event_at", "audit_events (event, at)"),
    ("idx_audit_events_event", "audit_events (event, seq)"),
    ("idx_audit_events_actor", "audit_events (actor, seq)"),
    ("idx_audit_events_subject", "audit_events (subject)"),
];

/// Triggers that make the log append-only. TRUNCATE fires no row trigger on PostgreSQL, and REPLACE fires no delete trigger on SQLite, so each has
/// a trigger of its own.
const POSTGRES_GUARDS: [&str; 3] = [
    "CREATE FUNCTION audit_events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'audit_events is append-only'; END $$",
    "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events \
     FOR EACH ROW EXECUTE FUNCTION audit_events_are_append_only()",
    "CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events \
     FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_append_only()",
];
const SQLITE_GUARDS: [&str; 3] = [
    "CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events \
     BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END",
    "CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events \
     BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END",
    "CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events \
     WHEN EXISTS (SELECT 1 FROM audit_events WHERE seq = new.seq) \
     BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let events = Table::create()
            .table(AuditEvents::Table)
            .col(big_integer(AuditEvents::Seq).primary_key())
            .col(timestamp_with_time_zone(AuditEvents::At))
            .col(string_len(AuditEvents::Event, 40))
            .col(string_len(AuditEvents::Outcome, 8))
            .col(string_len(AuditEvents::Actor, 40))
            .col(big_integer_null(AuditEvents::UserId))
            .col(uuid_null(AuditEvents::SessionId))
            .col(string_len_null(AuditEvents::Subject, 16))
            .col(string_len_null(AuditEvents::ClientIp, 45))
            .col(string_len(AuditEvents::RequestId, 64))
            .col(string_len_null(AuditEvents::Detail, 200))
            .col(text_null(AuditEvents::Changes))
            .col(string_len(AuditEvents::Hash, 64))
            .to_owned();
        manager.create_table(events).await?;
        create_indexes(manager, &INDEXES).await?;
        let head = Table::create()
            .table(AuditHead::Table)
            .col(integer(AuditHead::Id).primary_key())
            .col(big_integer(AuditHead::Seq))
            .col(string_len(AuditHead::Hash, 64))
            .col(string_len(AuditHead::Seal, 64))
            .to_owned();
        manager.create_table(head).await?;
        let db = manager.get_connection();
        db.execute_unprepared("INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, 0, '', '')")
            .await?;
        let guards = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES_GUARDS,
            _ => SQLITE_GUARDS,
        };
        for guard in guards {
            db.execute_unprepared(guard).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum AuditEvents {
    Table,
    Seq,
    At,
    Event,
    Outcome,
    Actor,
    UserId,
    SessionId,
    Subject,
    ClientIp,
    RequestId,
    Detail,
    Changes,
    Hash,
}

#[derive(DeriveIden)]
enum AuditHead {
    Table,
    Id,
    Seq,
    Hash,
    Seal,
}
