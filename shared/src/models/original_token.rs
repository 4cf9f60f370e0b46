//! Whether the original's tokens of an imported account are valid: the original stores no tokens, so an account has a time before which
//! they have ended.

use chrono::{DateTime, Utc};
use sea_orm::{QueryTrait as _, entity::prelude::*, sea_query::Expr};

use crate::{
    database::{self, find_unique},
    models::{imported_user::DJANGO, session},
};

/// The tokens of an imported account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported_users")]
pub struct Model {
    /// The account. It may have been deleted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The name of the import's kind. Only accounts of the original have its tokens.
    pub source: String,
    /// When all sessions of the account were ended. Tokens of the original that were issued before are invalid.
    pub tokens_ended_at: Option<DateTime<Utc>>,
}

/// The rows have no relations, because they outlive the accounts.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Selects the account if it comes from the original. In another source, the same id may belong to another person.
fn find(user_id: i64) -> Select<Entity> {
    Entity::find_by_id(user_id).filter(Column::Source.eq(DJANGO))
}

/// Returns whether an account comes from the original.
pub async fn is_imported(db: &impl ConnectionTrait, user_id: i64) -> Result<bool, DbErr> {
    Ok(find_unique(find(user_id), db).await?.is_some())
}

/// Stores the session of a token, unless it exists, the account does not come from the original, or its tokens have ended. Locks
/// the row of the account, so that concurrent uses create one session, and a concurrent end of all tokens either prevents the
/// session or ends it.
pub async fn start_session(
    transaction: &impl ConnectionTrait,
    session: session::Model,
) -> Result<(), DbErr> {
    let account = database::lock_no_key_update(find(session.user_id), transaction);
    let Some(account) = find_unique(account, transaction).await? else {
        return Ok(());
    };
    // The times of tokens are whole seconds.
    let has_ended = |at: DateTime<Utc>| session.created_at.timestamp() <= at.timestamp();
    let exists = find_unique(session::Entity::find_by_id(session.id), transaction).await?;
    if account.tokens_ended_at.is_some_and(has_ended) || exists.is_some() {
        return Ok(());
    }
    session::insert(transaction, session).await
}

/// Ends the tokens that were issued so far: those of one account, or of all.
pub(crate) async fn end(
    db: &impl ConnectionTrait,
    user_id: Option<i64>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::TokensEndedAt, Expr::value(now))
        .apply_if(user_id, |update, id| update.filter(Column::UserId.eq(id)))
        .exec(db)
        .await?;
    Ok(())
}
