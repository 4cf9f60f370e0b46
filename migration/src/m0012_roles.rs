//! Roles of staff: named sets of permissions.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_pk_auto, integer, string_len},
};

use crate::{create_indexes, m0001_users::Users};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let roles = Table::create()
            .table(Roles::Table)
            .col(big_pk_auto(Roles::Id))
            .col(string_len(Roles::Name, 45))
            .col(string_len(Roles::Permissions, 200))
            .col(integer(Roles::Version).default(0))
            .to_owned();
        manager.create_table(roles).await?;
        let assigned = Table::create()
            .table(UserRoles::Table)
            .col(big_integer(UserRoles::UserId))
            .col(big_integer(UserRoles::RoleId))
            .primary_key(
                Index::create()
                    .col(UserRoles::UserId)
                    .col(UserRoles::RoleId),
            )
            .foreign_key(&mut references(UserRoles::UserId, Users::Table, Users::Id))
            .foreign_key(&mut references(UserRoles::RoleId, Roles::Table, Roles::Id))
            .to_owned();
        manager.create_table(assigned).await?;
        let db = manager.get_connection();
        db.execute_unprepared("CREATE UNIQUE INDEX idx_roles_name ON roles (lower(name))")
            .await?;
        create_indexes(
            manager,
            &[("idx_user_roles_role_id", "user_roles (role_id)")],
        )
        .await
    }
}

/// Returns a foreign key whose rows are deleted with the row that they reference.
fn references(
    from: UserRoles,
    table: impl IntoIden + 'static,
    column: impl IntoIden + 'static,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(UserRoles::Table, from)
        .to(table, column)
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

#[derive(DeriveIden)]
enum Roles {
    Table,
    Id,
    Name,
    Permissions,
    Version,
}

#[derive(DeriveIden)]
enum UserRoles {
    Table,
    UserId,
    RoleId,
}
