//! Roles: named sets of permissions that superusers assign to staff.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _, QuerySelect as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database::{self, find_unique, lock_no_key_update, violates_unique},
    models::user,
    types::{permission::Permissions, role_name::RoleName},
};

pub mod assignment;

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "roles")]
pub struct Model {
    /// The role's number, from 1.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The name.
    pub name: RoleName,
    /// The permissions that the role adds to a staff member's own.
    pub permissions: Permissions,
    /// Increases with each change. Detects edit conflicts.
    pub version: i32,
}

/// A role has many assignments.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The assignments of the role.
    #[sea_orm(has_many = "assignment::Entity")]
    Assignment,
}

impl Related<assignment::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Assignment.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// Why a role could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteRoleError {
    /// Another role has the name. Reported by the database's unique index.
    #[error("the name is taken")]
    NameTaken,
    /// The database failed.
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for WriteRoleError {
    fn from(error: DbErr) -> Self {
        if violates_unique(&error, "idx_roles_name", "idx_roles_name") {
            Self::NameTaken
        } else {
            Self::Database(error)
        }
    }
}

/// Returns all roles, ordered by name.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Expr::cust("lower(name)"))
        .all(db)
        .await
}

/// Returns the role with this id.
pub async fn find(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// Returns and locks roles until the transaction ends, so that they are not deleted (see [`lock_no_key_update`]). Locks in the order
/// of the ids, to avoid deadlocks.
pub async fn lock(transaction: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Model>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id);
    lock_no_key_update(found, transaction)
        .all(transaction)
        .await
}

/// Creates a role.
pub async fn insert(
    db: &impl ConnectionTrait,
    name: RoleName,
    permissions: Permissions,
) -> Result<Model, WriteRoleError> {
    let row = ActiveModel {
        name: Set(name),
        permissions: Set(permissions),
        version: Set(0),
        ..Default::default()
    };
    Ok(row.insert(db).await?)
}

/// Changes a role. Returns `None` on an edit conflict: the role's version is no longer that of `seen`.
pub async fn change(
    db: &impl ConnectionTrait,
    seen: &Model,
    name: RoleName,
    permissions: Permissions,
) -> Result<Option<Model>, WriteRoleError> {
    let changed = Entity::update_many()
        .col_expr(Column::Name, Expr::value(name))
        .col_expr(Column::Permissions, Expr::value(permissions))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(seen.id))
        .filter(Column::Version.eq(seen.version))
        .exec_with_returning(db)
        .await?;
    Ok(changed.into_iter().next())
}

/// Deletes a role and its assignments. Returns false if there is none.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(id).exec(db).await?.rows_affected == 1)
}

/// Returns the number of accounts of each role that has any.
pub async fn count_members(db: &impl ConnectionTrait) -> Result<HashMap<i64, i64>, DbErr> {
    let counts: Vec<(i64, i64)> = assignment::Entity::find()
        .select_only()
        .column(assignment::Column::RoleId)
        .column_as(assignment::Column::UserId.count(), "members")
        .group_by(assignment::Column::RoleId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counts.into_iter().collect())
}

/// Returns the first accounts of a role, ordered by id.
pub async fn members(
    db: &impl ConnectionTrait,
    id: i64,
    limit: u64,
) -> Result<Vec<user::Model>, DbErr> {
    let ids: Vec<i64> = assignment::Entity::find()
        .select_only()
        .column(assignment::Column::UserId)
        .filter(assignment::Column::RoleId.eq(id))
        .order_by_asc(assignment::Column::UserId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    user::staff::find_all(db, &ids).await
}

/// Returns the roles of an account, ordered by name.
pub async fn of_user(db: &impl ConnectionTrait, user_id: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .inner_join(assignment::Entity)
        .filter(assignment::Column::UserId.eq(user_id))
        .order_by_asc(Expr::cust("lower(name)"))
        .all(db)
        .await
}

/// Returns the ids of the roles of accounts, by account.
pub async fn ids_of_users(
    db: &impl ConnectionTrait,
    users: &[i64],
) -> Result<HashMap<i64, Vec<i64>>, DbErr> {
    let mut ids: HashMap<i64, Vec<i64>> = HashMap::new();
    if users.is_empty() {
        return Ok(ids);
    }
    let found = assignment::Entity::find()
        .filter(assignment::Column::UserId.is_in(database::pad_to_power_of_two(users)))
        .order_by_asc(assignment::Column::RoleId);
    for row in found.all(db).await? {
        ids.entry(row.user_id).or_default().push(row.role_id);
    }
    Ok(ids)
}

/// Returns what a staff member may do: the account's own permissions and those of its roles. Other accounts have none, and superusers
/// have all.
pub async fn effective_permissions(
    db: &impl ConnectionTrait,
    user: &user::Model,
) -> Result<Permissions, DbErr> {
    if !user.is_active || !user.is_staff {
        return Ok(Permissions::default());
    }
    if user.is_superuser {
        return Ok(Permissions::all());
    }
    let roles = of_user(db, user.id).await?;
    let own = user.permissions.clone();
    Ok(roles
        .iter()
        .fold(own, |all, role| all.union(&role.permissions)))
}

/// Changes the roles of an account from `before` to `after`. The caller has locked the account.
pub async fn assign(
    db: &impl ConnectionTrait,
    user_id: i64,
    before: &BTreeSet<i64>,
    after: &BTreeSet<i64>,
) -> Result<(), DbErr> {
    let removed: Vec<_> = before.difference(after).copied().collect();
    if !removed.is_empty() {
        assignment::Entity::delete_many()
            .filter(assignment::Column::UserId.eq(user_id))
            .filter(assignment::Column::RoleId.is_in(removed))
            .exec(db)
            .await?;
    }
    let added = after
        .difference(before)
        .map(|role_id| assignment::ActiveModel {
            user_id: Set(user_id),
            role_id: Set(*role_id),
        });
    let added: Vec<_> = added.collect();
    if !added.is_empty() {
        assignment::Entity::insert_many(added)
            .exec_without_returning(db)
            .await?;
    }
    Ok(())
}

/// Assigns roles to new accounts: pairs of an account and a role.
pub async fn assign_many(db: &impl ConnectionTrait, pairs: Vec<(i64, i64)>) -> Result<(), DbErr> {
    if pairs.is_empty() {
        return Ok(());
    }
    let rows = pairs
        .into_iter()
        .map(|(user_id, role_id)| assignment::ActiveModel {
            user_id: Set(user_id),
            role_id: Set(role_id),
        });
    assignment::Entity::insert_many(rows)
        .exec_without_returning(db)
        .await?;
    Ok(())
}
