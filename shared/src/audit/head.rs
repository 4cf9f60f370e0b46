//! The head of the chain: one row, which whoever appends takes and keeps until the transaction ends.

use sea_orm::{
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

/// The one row.
const ID: i32 = 1;

/// Where the chain ends.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_head")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i32,
    /// The last event's number; 0 when there is none.
    pub(super) seq: i64,
    /// Its hash; empty when there is none.
    pub(super) hash: String,
    /// The MAC over both.
    pub(super) seal: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Takes the next number, with the hash of the event before. A write first, so that SQLite waits for its turn instead of
/// finding out later that it had none; on PostgreSQL it locks the row.
pub(super) async fn take(db: &impl ConnectionTrait) -> Result<Model, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::Seq, Expr::col(Column::Seq).add(1))
        .filter(Column::Id.eq(ID))
        .exec_with_returning(db)
        .await?;
    taken.into_iter().next().ok_or_else(gone)
}

/// Notes the last event's hash.
pub(super) async fn set(db: &impl ConnectionTrait, hash: &str, seal: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Hash, Expr::value(hash))
        .col_expr(Column::Seal, Expr::value(seal))
        .filter(Column::Id.eq(ID))
        .exec(db)
        .await?;
    Ok(())
}

pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Model, DbErr> {
    Entity::find_by_id(ID).one(db).await?.ok_or_else(gone)
}

fn gone() -> DbErr {
    DbErr::RecordNotFound("the head of the audit log is gone".to_owned())
}
