//! The row of the chain head. Transactions that append an event lock it.

use sea_orm::{
    QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, SelectStatement},
};

use crate::models::user;

/// The id of the only row.
const ID: i32 = 1;

/// The chain head.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_head")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i32,
    /// The number of the last event; 0 if there is none.
    pub(super) seq: i64,
    /// The hash of the last event; empty if there is none.
    pub(super) hash: String,
    /// The MAC over both. Empty before the log is sealed.
    pub(super) seal: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Takes the next sequence number. Returns it with the hash and the seal of the last event. An UPDATE and not a SELECT, because it
/// waits for SQLite's write lock and locks the row on PostgreSQL.
pub(super) async fn take(db: &impl ConnectionTrait) -> Result<Model, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::Seq, Expr::col(Column::Seq).add(1))
        .filter(Column::Id.eq(ID))
        .exec_with_returning(db)
        .await?;
    taken.into_iter().next().ok_or_else(gone)
}

/// Stores the hash and the seal of the new last event.
pub(super) async fn set(db: &impl ConnectionTrait, hash: &str, seal: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Hash, Expr::value(hash))
        .col_expr(Column::Seal, Expr::value(seal))
        .filter(Column::Id.eq(ID))
        .exec(db)
        .await?;
    Ok(())
}

/// Seals a head that has neither an event nor a seal, if there is no account yet or `force` is set.
pub(super) async fn seal_empty(
    db: &impl ConnectionTrait,
    seal: &str,
    force: bool,
) -> Result<bool, DbErr> {
    let is_empty = |found: SelectStatement| Expr::exists(found).not();
    let accounts = user::Entity::find().select_only().column(user::Column::Id);
    let events = crate::models::audit::Entity::find()
        .select_only()
        .column(crate::models::audit::Column::Seq);
    let sealed = Entity::update_many()
        .col_expr(Column::Seal, Expr::value(seal))
        .filter(Column::Id.eq(ID))
        .filter(Column::Seq.eq(0))
        .filter(Column::Hash.eq(""))
        .filter(Column::Seal.eq(""))
        .filter(is_empty(events.into_query()))
        .apply_if((!force).then_some(()), |update, ()| {
            update.filter(is_empty(accounts.into_query()))
        })
        .exec(db)
        .await?;
    Ok(sealed.rows_affected > 0)
}

pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Model, DbErr> {
    Entity::find_by_id(ID).one(db).await?.ok_or_else(gone)
}

fn gone() -> DbErr {
    DbErr::RecordNotFound("the head of the audit log is gone".to_owned())
}
