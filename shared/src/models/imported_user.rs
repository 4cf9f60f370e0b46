//! The accounts that an import created: what a further run of the import has to know of them.

use chrono::{DateTime, Utc};
use sea_orm::{entity::prelude::*, sea_query::Expr};

/// An account that an import created. The row outlives the account, so that a further run does not create it again.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported_users")]
pub struct Model {
    /// The account. It may have been deleted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The name of the import's kind, such as `django`.
    pub source: String,
    /// When the account was created here.
    pub imported_at: DateTime<Utc>,
    /// The keyed fingerprints of the imported values, as the API's `import` folder reads them. Empty once the account is deleted.
    pub fingerprints: Vec<u8>,
    /// Whether the owner has set another password here since the import. A renewed hash of the same password does not count.
    pub has_new_password: bool,
}

/// The rows have no relations, because they outlive the accounts.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Records that an account has another password than the imported one. Does nothing if the account was not imported.
pub(crate) async fn record_new_password(
    db: &impl ConnectionTrait,
    user_id: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::HasNewPassword, Expr::value(true))
        .filter(Column::UserId.eq(user_id))
        .exec(db)
        .await?;
    Ok(())
}

/// Removes what is known of a deleted account, except that it was imported.
pub(crate) async fn forget(db: &impl ConnectionTrait, user_id: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Fingerprints, Expr::value(Vec::<u8>::new()))
        .filter(Column::UserId.eq(user_id))
        .exec(db)
        .await?;
    Ok(())
}
