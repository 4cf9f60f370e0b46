//! Accounts whose owners have never verified their emails.

use chrono::{DateTime, Utc};
use sea_orm::{QuerySelect as _, QueryTrait as _, entity::prelude::*};

use crate::models::{
    imported_user,
    user::{Column, Entity, LIST_BATCH_SIZE, Model},
};

impl Model {
    /// Returns whether the account is pending email verification, is not staff, and has never logged in.
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        self.pending_email_verification && !self.is_staff && self.last_login_at.is_none()
    }
}

/// Returns up to 1,000 accounts that are [unverified](Model::is_unverified), and were created and imported before `cutoff`.
pub async fn list_unverified_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<Vec<i64>, DbErr> {
    let imported_since = imported_user::Entity::find()
        .select_only()
        .column(imported_user::Column::UserId)
        .filter(imported_user::Column::ImportedAt.gte(cutoff))
        .into_query();
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::PendingEmailVerification.eq(true))
        .filter(Column::IsStaff.eq(false))
        .filter(Column::LastLoginAt.is_null())
        .filter(Column::CreatedAt.lt(cutoff))
        .filter(Column::Id.not_in_subquery(imported_since))
        .limit(LIST_BATCH_SIZE)
        .into_tuple()
        .all(db)
        .await
}
