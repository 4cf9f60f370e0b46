//! The accounts that an import created: what a further run of the import has to know of them.

use chrono::{DateTime, Utc};
use sea_orm::{
    IntoActiveModel, QueryOrder as _, QuerySelect as _, QueryTrait as _, entity::prelude::*,
    sea_query::Expr,
};

use crate::{database::pad_to_power_of_two, models::user};

/// The source of accounts of the Django original.
pub const DJANGO: &str = "django";

/// An account that an import created. The row outlives the account, so that a further run does not create it again.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported_users")]
pub struct Model {
    /// The account. It may have been deleted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The name of the import's kind, such as [`DJANGO`].
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

/// Returns the imports of the accounts with these ids.
pub async fn find_many(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Model>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = pad_to_power_of_two(ids);
    let found = Entity::find().filter(Column::UserId.is_in(ids));
    found.all(db).await
}

/// Records accounts that an import has created.
pub async fn insert_many(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Stores the fingerprints of an account's values as of a further run.
pub async fn set_fingerprints(
    db: &impl ConnectionTrait,
    user_id: i64,
    fingerprints: Vec<u8>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Fingerprints, Expr::value(fingerprints))
        .filter(Column::UserId.eq(user_id))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns the accounts that imports of this source created, with ids after `first` up to `last`, without those deleted here.
pub async fn list_between(
    db: &impl ConnectionTrait,
    source: &str,
    first: i64,
    last: i64,
) -> Result<Vec<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::Source.eq(source))
        .filter(Column::UserId.gt(first))
        .filter(Column::UserId.lte(last))
        .filter(
            Column::UserId.in_subquery(
                user::Entity::find()
                    .select_only()
                    .column(user::Column::Id)
                    .into_query(),
            ),
        )
        .order_by_asc(Column::UserId)
        .into_tuple()
        .all(db)
        .await
}
