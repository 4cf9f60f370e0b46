//! The roles of staff members.

use sea_orm::entity::prelude::*;

/// One role of one account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_roles")]
pub struct Model {
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The role.
    #[sea_orm(primary_key, auto_increment = false)]
    pub role_id: i64,
}

/// An assignment belongs to a role.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The role.
    #[sea_orm(
        belongs_to = "super::Entity",
        from = "Column::RoleId",
        to = "super::Column::Id"
    )]
    Role,
}

impl Related<super::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Role.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
