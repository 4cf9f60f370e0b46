//! Queries and changes of accounts by administrators.

use chrono::{DateTime, Utc};
use sea_orm::{Condition, entity::prelude::*, sea_query::Expr};

use crate::models::user::{
    Column, Entity, Model, WriteUserError,
    email::ensure_not_reserved,
    profile::{ProfileChange, set},
};
use crate::{
    database::lock_no_key_update,
    models::{imported_user, password_reset, session},
    types::permission::Permissions,
};

/// A change by an administrator. `None` keeps a field.
#[derive(Debug, Default)]
pub struct Change {
    /// The fields that the account owner may change, too.
    pub profile: ProfileChange,
    /// See [`Model::is_activated`].
    pub is_activated: Option<bool>,
    /// See [`Model::is_active`].
    pub is_active: Option<bool>,
    /// See [`Model::is_staff`].
    pub is_staff: Option<bool>,
    /// See [`Model::is_superuser`].
    pub is_superuser: Option<bool>,
    /// See [`Model::permissions`].
    pub permissions: Option<Permissions>,
}

impl Change {
    /// Returns whether the change alters an account.
    #[must_use]
    pub fn alters(&self, user: &Model) -> bool {
        fn differs<T: PartialEq>(new: Option<&T>, old: &T) -> bool {
            new.is_some_and(|new| new != old)
        }
        let profile = &self.profile;
        differs(profile.email.as_ref(), &user.email)
            || differs(profile.username.as_ref(), &user.username)
            || differs(profile.phone_number.as_ref(), &user.phone_number)
            || differs(profile.picture.as_ref(), &user.picture)
            || differs(profile.date_birth.as_ref(), &user.date_birth)
            || differs(profile.gender.as_ref(), &user.gender)
            || differs(profile.language.as_ref(), &user.language)
            || differs(self.is_activated.as_ref(), &user.is_activated)
            || differs(self.is_active.as_ref(), &user.is_active)
            || differs(self.is_staff.as_ref(), &user.is_staff)
            || differs(self.is_superuser.as_ref(), &user.is_superuser)
            || differs(self.permissions.as_ref(), &user.permissions)
    }
}

/// Stores a change. Returns `None` on an edit conflict: the account's version is no longer that of `seen`.
pub async fn change(
    db: &impl ConnectionTrait,
    seen: &Model,
    change: Change,
    now: DateTime<Utc>,
) -> Result<Option<Model>, WriteUserError> {
    let mut update = set(Entity::update_many(), seen, change.profile, now);
    for (column, flag) in [
        (Column::IsActivated, change.is_activated),
        (Column::IsActive, change.is_active),
        (Column::IsStaff, change.is_staff),
        (Column::IsSuperuser, change.is_superuser),
    ] {
        if let Some(flag) = flag {
            update = update.col_expr(column, Expr::value(flag));
        }
    }
    // A changed flag is staff's decision about the account. Other changes leave the decision to the owner.
    let flags = [
        (change.is_activated, seen.is_activated),
        (change.is_active, seen.is_active),
    ];
    if flags
        .into_iter()
        .any(|(flag, was)| flag.is_some_and(|flag| flag != was))
    {
        update = update.col_expr(Column::PendingEmailVerification, Expr::value(false));
    }
    if let Some(permissions) = change.permissions {
        update = update.col_expr(Column::Permissions, Expr::value(permissions));
    }
    let changed = update
        .filter(Column::Id.eq(seen.id))
        .filter(Column::Version.eq(seen.version))
        .exec_with_returning(db)
        .await?;
    let changed = changed.into_iter().next();
    if let Some(changed) = &changed
        && changed.email_key != seen.email_key
    {
        ensure_not_reserved(db, changed, now).await?;
    }
    Ok(changed)
}

/// Lists the accounts of staff and superusers, whether they are active or not.
pub async fn list_privileged(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    let is_privileged = Condition::any()
        .add(Column::IsStaff.eq(true))
        .add(Column::IsSuperuser.eq(true));
    Entity::find().filter(is_privileged).all(db).await
}

/// Deletes an account with its sessions and password resets. Returns false if there is none. Its audit events and mails stay.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<bool, DbErr> {
    imported_user::forget(db, id).await?;
    Ok(Entity::delete_by_id(id).exec(db).await?.rows_affected == 1)
}

/// The numbers of rows that are deleted together with accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependentCounts {
    /// Active sessions.
    pub sessions: u64,
    /// Password resets.
    pub resets: u64,
}

/// Counts the rows that are deleted together with accounts.
pub async fn count_dependents(
    db: &impl ConnectionTrait,
    ids: &[i64],
    now: DateTime<Utc>,
) -> Result<DependentCounts, DbErr> {
    use sea_orm::PaginatorTrait as _;
    let ids = || ids.iter().copied();
    let sessions = session::Entity::find()
        .filter(session::Column::UserId.is_in(ids()))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now));
    let resets = password_reset::Entity::find()
        .filter(password_reset::Column::UserId.is_in(ids()))
        .filter(password_reset::Column::Purpose.eq(password_reset::Purpose::Reset));
    Ok(DependentCounts {
        sessions: sessions.count(db).await?,
        resets: resets.count(db).await?,
    })
}

/// Returns the accounts with these ids, ordered by id.
pub async fn find_all(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Model>, DbErr> {
    use sea_orm::QueryOrder as _;
    Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Returns whether the installation has a superuser who can sign in, and whose deletion is not scheduled.
pub async fn has_superuser(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(count_superusers(db).await? > 0)
}

/// Counts the superusers who can sign in, and whose deletion is not scheduled.
pub async fn count_superusers(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    use sea_orm::PaginatorTrait as _;
    active_superusers().count(db).await
}

/// Returns the accounts with these ids, ordered by id, and locks them until the transaction ends (see [`lock_no_key_update`]).
/// `superusers` locks all superusers, too, so that the last two cannot deactivate each other. All transactions lock in the order of
/// the ids, to avoid deadlocks.
pub async fn lock(
    transaction: &impl ConnectionTrait,
    ids: &[i64],
    superusers: bool,
) -> Result<Vec<Model>, DbErr> {
    use sea_orm::{Condition, QueryOrder as _};
    let ids = ids.iter().copied();
    let mut which = Condition::any().add(Column::Id.is_in(ids.clone()));
    if superusers {
        which = which.add(Column::IsSuperuser.eq(true));
    }
    let found = Entity::find().filter(which).order_by_asc(Column::Id);
    let mut users = lock_no_key_update(found, transaction)
        .all(transaction)
        .await?;
    users.retain(|user| ids.clone().any(|id| id == user.id));
    Ok(users)
}

fn active_superusers() -> Select<Entity> {
    Entity::find()
        .filter(Column::IsStaff.eq(true))
        .filter(Column::IsSuperuser.eq(true))
        .filter(Column::IsActive.eq(true))
        .filter(Column::DeletionAt.is_null())
}
