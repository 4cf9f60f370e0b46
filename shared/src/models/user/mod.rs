//! Users: the row, and everything that is asked of it or done to it.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _, QuerySelect as _, SqlErr, UpdateMany,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database::{self, RowReader, find_unique, lock_no_key_update},
    models::session,
    types::{
        email::{Email, EmailKey},
        gender::Gender,
        permission::{Permission, Permissions},
        phone_number::PhoneNumber,
        username::Username,
    },
};

pub mod profile;
pub mod search;
pub mod staff;

/// How many accounts one statement lists.
const LISTED_AT_A_TIME: u64 = 1_000;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct Model {
    /// Counts up from 1; the `user_id` of tokens.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// As it was typed.
    pub email: Email,
    /// The same in lower case, unique.
    #[sea_orm(unique)]
    pub email_key: EmailKey,
    /// Not unique.
    pub username: Username,
    /// A PHC string of argon2id.
    pub password_hash: String,
    /// In E.164 form.
    pub phone_number: Option<PhoneNumber>,
    /// The name of a file in `MEDIA_DIR`.
    pub picture: Option<String>,
    /// A day of the Gregorian calendar.
    pub date_birth: Option<NaiveDate>,
    /// `male`, `female` or nothing.
    pub gender: Option<Gender>,
    /// Whether an administrator (or the owner, by `ACTIVATION`) let the account in.
    pub is_activated: bool,
    /// False once an administrator shut the account.
    pub is_active: bool,
    /// May sign in to the dashboard.
    pub is_staff: bool,
    /// May do everything there.
    pub is_superuser: bool,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
    /// The last successful login.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Rises with every change of what the dashboard's form shows, so that of two who edit at once the second is told.
    pub version: i32,
    /// What it may do as staff.
    pub permissions: Permissions,
    /// Whether its owner may let it in, by a code that is mailed: made so under `ACTIVATION=email`, and until anybody has
    /// decided.
    pub pending_email_verification: bool,
    /// When its owner last proved the present address, by a code that was mailed there. `None` until then.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// When the present address took the place of another one. `None` for the first address.
    pub email_set_at: Option<DateTime<Utc>>,
}

impl Model {
    /// Whether it may do this in the dashboard.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.is_active
            && self.is_staff
            && (self.is_superuser || self.permissions.contains(permission))
    }

    /// Returns since when the account and its address belong together: since the owner last proved the address, or else since
    /// the account got it. `None` is since the account was created.
    #[must_use]
    pub fn email_since(&self) -> Option<DateTime<Utc>> {
        self.email_verified_at.or(self.email_set_at)
    }

    /// Takes an account's columns out of a row.
    pub(crate) fn in_order(row: &mut RowReader) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.next()?,
            email: row.next()?,
            email_key: row.next()?,
            username: row.next()?,
            password_hash: row.next()?,
            phone_number: row.next()?,
            picture: row.next()?,
            date_birth: row.next()?,
            gender: row.next()?,
            is_activated: row.next()?,
            is_active: row.next()?,
            is_staff: row.next()?,
            is_superuser: row.next()?,
            created_at: row.next()?,
            last_login_at: row.next()?,
            version: row.next()?,
            permissions: row.next()?,
            pending_email_verification: row.next()?,
            email_verified_at: row.next()?,
            email_set_at: row.next()?,
        })
    }
}

/// A user has many sessions.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The logins of this user.
    #[sea_orm(has_many = "session::Entity")]
    Session,
}

impl Related<session::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Session.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// What a new account is made of.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// See [`Model::email`].
    pub email: Email,
    /// See [`Model::username`].
    pub username: Username,
    /// A PHC string, never the password.
    pub password_hash: String,
    /// See [`Model::phone_number`].
    pub phone_number: Option<PhoneNumber>,
    /// See [`Model::picture`].
    pub picture: Option<String>,
    /// See [`Model::date_birth`].
    pub date_birth: Option<NaiveDate>,
    /// See [`Model::gender`].
    pub gender: Option<Gender>,
    /// See [`Model::is_activated`].
    pub is_activated: bool,
    /// See [`Model::pending_email_verification`].
    pub pending_email_verification: bool,
    /// Both dashboard flags: staff and superuser.
    pub is_superuser: bool,
}

impl NewUser {
    /// An administrator who may do everything.
    #[must_use]
    pub fn superuser(email: Email, username: Username, password_hash: String) -> Self {
        Self {
            email,
            username,
            password_hash,
            phone_number: None,
            picture: None,
            date_birth: None,
            gender: None,
            is_activated: true,
            pending_email_verification: false,
            is_superuser: true,
        }
    }
}

/// Why an account could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteUserError {
    /// Another account has the address. The database's unique index said so.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The database failed.
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for WriteUserError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::EmailTaken,
            _ => Self::Database(error),
        }
    }
}

/// Makes an account.
///
/// # Errors
/// When the address is taken, or the database fails.
pub async fn insert(
    db: &impl ConnectionTrait,
    user: NewUser,
    now: DateTime<Utc>,
) -> Result<Model, WriteUserError> {
    Ok(user.row(now).insert(db).await?)
}

impl NewUser {
    fn row(self, now: DateTime<Utc>) -> ActiveModel {
        ActiveModel {
            email_key: Set(self.email.key()),
            email: Set(self.email),
            username: Set(self.username),
            password_hash: Set(self.password_hash),
            phone_number: Set(self.phone_number),
            picture: Set(self.picture),
            date_birth: Set(self.date_birth),
            gender: Set(self.gender),
            is_activated: Set(self.is_activated),
            is_active: Set(true),
            is_staff: Set(self.is_superuser),
            is_superuser: Set(self.is_superuser),
            created_at: Set(now),
            version: Set(0),
            permissions: Set(Permissions::default()),
            pending_email_verification: Set(self.pending_email_verification),
            ..Default::default()
        }
    }
}

/// The account with this address, in whatever case it is typed.
///
/// # Errors
/// When the database fails.
pub async fn find_by_email(
    db: &impl ConnectionTrait,
    email: &Email,
) -> Result<Option<Model>, DbErr> {
    let found = Entity::find().filter(Column::EmailKey.eq(email.key()));
    find_unique(found, db).await
}

/// The account with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// The accounts with these ids.
///
/// # Errors
/// When the database fails.
pub async fn find_many(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Model>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = Entity::find().filter(Column::Id.is_in(database::pad_to_power_of_two(ids)));
    found.all(db).await
}

/// The account with this id, as it is and stays until this transaction ends. Whoever changes or ends several rows of one
/// account holds this one first, so that no two wait for each other. See [`lock_no_key_update`].
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    find_unique(
        lock_no_key_update(Entity::find_by_id(id), transaction),
        transaction,
    )
    .await
}

/// All accounts by id.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let rows = next_after(last).all(db).await?;
        let Some(row) = rows.last() else {
            return Ok(all);
        };
        last = row.id;
        all.extend(rows);
    }
}

/// The names of the pictures that accounts have.
///
/// # Errors
/// When the database fails.
pub async fn pictures(db: &impl ConnectionTrait) -> Result<HashSet<String>, DbErr> {
    let (mut all, mut last) = (HashSet::new(), 0);
    loop {
        let rows: Vec<(i64, String)> = next_after(last)
            .select_only()
            .columns([Column::Id, Column::Picture])
            .filter(Column::Picture.is_not_null())
            .into_tuple()
            .all(db)
            .await?;
        let Some((id, _)) = rows.last() else {
            return Ok(all);
        };
        last = *id;
        all.extend(rows.into_iter().map(|(_, picture)| picture));
    }
}

/// The accounts after one, as many as are read at a time.
fn next_after(last: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::Id.gt(last))
        .order_by_asc(Column::Id)
        .limit(LISTED_AT_A_TIME)
}

fn raise_version(update: UpdateMany<Entity>) -> UpdateMany<Entity> {
    update.col_expr(Column::Version, Expr::col(Column::Version).add(1))
}

/// Notes a login by a password that was right for `verified`, the stored hash, and stores the hash anew when its
/// parameters have changed. False when the password was changed or the account shut meanwhile: that login comes too late.
///
/// # Errors
/// When the database fails.
pub async fn record_login(
    db: &impl ConnectionTrait,
    id: i64,
    verified: &str,
    rehashed: Option<String>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let mut update = Entity::update_many()
        .col_expr(Column::LastLoginAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::PasswordHash.eq(verified))
        .filter(Column::IsActive.eq(true));
    if let Some(hash) = rehashed {
        update = update.col_expr(Column::PasswordHash, Expr::value(hash));
    }
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Stores the hash of a new password whose owner has proved the present address by a mailed code.
///
/// # Errors
/// When the database fails.
pub async fn reset_password(
    db: &impl ConnectionTrait,
    id: i64,
    hash: String,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(hash))
        .col_expr(Column::EmailVerifiedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}

/// Stores the hash of a new password in the place of `verified`, the hash that the present password was right for. False
/// when the password was changed or the account shut meanwhile: that change comes too late.
///
/// # Errors
/// When the database fails.
pub async fn change_password(
    db: &impl ConnectionTrait,
    id: i64,
    verified: &str,
    hash: String,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(hash))
        .filter(Column::Id.eq(id))
        .filter(Column::PasswordHash.eq(verified))
        .filter(Column::IsActive.eq(true))
        .exec(db)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Lets an account in (and back in). True when that changed anything, so that two administrators cause one mail.
///
/// # Errors
/// When the database fails.
pub async fn activate(db: &impl ConnectionTrait, id: i64) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::IsActivated, Expr::value(true))
        .col_expr(Column::IsActive, Expr::value(true))
        .col_expr(Column::PendingEmailVerification, Expr::value(false))
        .filter(Column::Id.eq(id))
        .filter(Column::IsActivated.eq(false).or(Column::IsActive.eq(false)))
        .exec(db)
        .await?;
    Ok(changed.rows_affected > 0)
}

/// Lets an account in that awaits its owner, who has proved the present address by a mailed code. False when it does not
/// await its owner, or not any more.
///
/// # Errors
/// When the database fails.
pub async fn activate_by_owner(
    db: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::IsActivated, Expr::value(true))
        .col_expr(Column::PendingEmailVerification, Expr::value(false))
        .col_expr(Column::EmailVerifiedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::IsActive.eq(true))
        .filter(Column::PendingEmailVerification.eq(true))
        .exec(db)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Shuts an account and ends its sessions. True when it was open.
///
/// # Errors
/// When the database fails.
pub async fn deactivate(
    db: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::IsActive, Expr::value(false))
        .col_expr(Column::PendingEmailVerification, Expr::value(false))
        .filter(Column::Id.eq(id))
        .filter(Column::IsActive.eq(true))
        .exec(db)
        .await?;
    session::revoke_all(db, id, now).await?;
    Ok(changed.rows_affected > 0)
}
