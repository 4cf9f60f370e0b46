//! The head of the chain: one row, which whoever appends takes and keeps until the transaction ends.

use sea_orm::{
    QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, SelectStatement},
};

use crate::models::user;

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

/// Takes the next sequence number, with the hash and the seal of the event before. The UPDATE comes first: SQLite waits for its
/// write lock then, and PostgreSQL locks the row.
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

/// Seals a head that has neither an event nor a seal, if `whatever_else_there_is` or there is no account yet.
pub(super) async fn seal_empty(
    db: &impl ConnectionTrait,
    seal: &str,
    whatever_else_there_is: bool,
) -> Result<bool, DbErr> {
    let nothing = |found: SelectStatement| Expr::exists(found).not();
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
        .filter(nothing(events.into_query()))
        .apply_if((!whatever_else_there_is).then_some(()), |update, ()| {
            update.filter(nothing(accounts.into_query()))
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
