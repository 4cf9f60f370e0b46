//! The readable values of audit events, outside of the chain, so that they can be erased.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, string_len_null, text},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let hash = Table::alter()
            .table(AuditEvents::Table)
            .add_column(string_len_null(AuditEvents::DetailsHash, 64))
            .to_owned();
        manager.alter_table(hash).await?;
        let details = Table::create()
            .table(AuditDetails::Table)
            .col(big_integer(AuditDetails::Seq).primary_key())
            .col(text(AuditDetails::Content))
            .to_owned();
        manager.create_table(details).await
    }
}

#[derive(DeriveIden)]
enum AuditEvents {
    Table,
    DetailsHash,
}

#[derive(DeriveIden)]
enum AuditDetails {
    Table,
    Seq,
    Content,
}
