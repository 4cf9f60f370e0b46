//! Accounts: the rows of the `users` table.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _, QuerySelect as _, UpdateMany,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database::{self, RowReader, find_unique, lock_no_key_update, violates_unique},
    models::session,
    types::{
        email::{Email, EmailKey},
        gender::Gender,
        language_tag::LanguageTag,
        permission::Permissions,
        phone_number::PhoneNumber,
        username::Username,
    },
};

mod access;
mod deletion;
mod email;
pub mod old_hash;
pub mod profile;
pub mod search;
mod second_factor;
pub mod staff;
mod unverified;

pub use crate::models::user::{
    access::{
        RecordedLogin, activate, activate_by_owner, change_password, deactivate, record_login,
        replace_hash, reset_password,
    },
    deletion::{erase, list_due_deletions, schedule_deletion},
    email::{
        confirm_current_email, confirm_email, find_by_any_email, is_reserved, is_taken, trust_email,
    },
    second_factor::{begin_second_factor, end_second_factor},
    unverified::list_unverified_before,
};

/// The number of accounts that one statement lists.
const LIST_BATCH_SIZE: u64 = 1_000;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct Model {
    /// The account's number, from 1. It is the `user_id` of tokens.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The email as the user entered it, composed (NFC).
    pub email: Email,
    /// The key of the email. Unique, so that each mailbox has one account.
    #[sea_orm(unique)]
    pub email_key: EmailKey,
    /// The name of the user. Not unique.
    pub username: Username,
    /// The hash of the password: an argon2id PHC string or, until the owner of an imported account logs in, the text that Django
    /// stored.
    pub password_hash: String,
    /// The phone number in E.164 form.
    pub phone_number: Option<PhoneNumber>,
    /// The name of the picture's file in `MEDIA_DIR`.
    pub picture: Option<String>,
    /// The date of birth in the Gregorian calendar.
    pub date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    pub gender: Option<Gender>,
    /// Whether staff or, with `ACTIVATION=email`, the owner has activated the account.
    pub is_activated: bool,
    /// Whether the account is not deactivated.
    pub is_active: bool,
    /// Whether the user may sign in to the dashboard.
    pub is_staff: bool,
    /// Whether a staff member has all permissions.
    pub is_superuser: bool,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
    /// The last successful login.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Increases with each change of the fields in the dashboard's form. Detects edit conflicts.
    pub version: i32,
    /// The permissions of a staff member, besides those of the roles.
    pub permissions: Permissions,
    /// Whether the owner may activate the account by a one-time code. Set for accounts that are registered with
    /// `ACTIVATION=email`, and cleared once the owner or staff has decided.
    pub pending_email_verification: bool,
    /// When the owner last confirmed the current email by a one-time code. `None` if never.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// When the current email replaced another one. `None` for the first email.
    pub email_set_at: Option<DateTime<Utc>>,
    /// The text that searches match (see [`search::text_of`]). Empty in rows of an earlier version, until `latchkey-api migrate` fills it.
    pub search_text: String,
    /// The language of the owner's mails. `None` is English.
    pub language: Option<LanguageTag>,
    /// Whether the owner chose the language by the field of that name, which responses contain only then.
    pub language_chosen: bool,
    /// When the account is deleted, as its owner asked, unless the owner logs in before. `None` if no deletion is scheduled.
    pub deletion_at: Option<DateTime<Utc>>,
    /// The last confirmed or registered email, while the current one is not confirmed: see [`Model::reset_email`].
    pub confirmed_email: Option<Email>,
    /// The key of that email.
    pub confirmed_email_key: Option<EmailKey>,
    /// Since when that email belonged to the owner: see [`Model::email_since`].
    pub confirmed_email_since: Option<DateTime<Utc>>,
    /// From when the current email gets the codes of password resets although its owner has not confirmed it. Set if staff chose
    /// the email.
    pub email_trusted_from: Option<DateTime<Utc>>,
    /// Since when a login needs a second factor besides the password. `None` if the account has none.
    pub second_factor_at: Option<DateTime<Utc>>,
}

impl Model {
    /// Reads the columns of an account from a row.
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
            search_text: row.next()?,
            language: row.next()?,
            language_chosen: row.next()?,
            deletion_at: row.next()?,
            confirmed_email: row.next()?,
            confirmed_email_key: row.next()?,
            confirmed_email_since: row.next()?,
            email_trusted_from: row.next()?,
            second_factor_at: row.next()?,
        })
    }
}

/// An account has many sessions.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The sessions of the account.
    #[sea_orm(has_many = "session::Entity")]
    Session,
}

impl Related<session::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Session.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// The data of a new account.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct NewUser {
    /// See [`Model::email`].
    pub email: Email,
    /// See [`Model::username`].
    pub username: Username,
    /// See [`Model::password_hash`].
    pub password_hash: String,
    /// See [`Model::phone_number`].
    pub phone_number: Option<PhoneNumber>,
    /// See [`Model::picture`].
    pub picture: Option<String>,
    /// See [`Model::date_birth`].
    pub date_birth: Option<NaiveDate>,
    /// See [`Model::gender`].
    pub gender: Option<Gender>,
    /// See [`Model::language`].
    pub language: Option<LanguageTag>,
    /// See [`Model::language_chosen`].
    pub language_chosen: bool,
    /// See [`Model::is_activated`].
    pub is_activated: bool,
    /// See [`Model::pending_email_verification`].
    pub pending_email_verification: bool,
    /// Whether the account is staff and superuser.
    pub is_superuser: bool,
}

impl NewUser {
    /// Returns a superuser without profile data.
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
            language: None,
            language_chosen: false,
            is_activated: true,
            pending_email_verification: false,
            is_superuser: true,
        }
    }
}

/// Why an account could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteUserError {
    /// Another account has the email. Reported by the database's unique index.
    #[error("the email is taken")]
    EmailTaken,
    /// The database failed.
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for WriteUserError {
    fn from(error: DbErr) -> Self {
        if violates_unique(&error, "users_email_key_key", "users.email_key") {
            Self::EmailTaken
        } else {
            Self::Database(error)
        }
    }
}

/// Creates an account.
pub async fn insert(
    db: &impl ConnectionTrait,
    user: NewUser,
    now: DateTime<Utc>,
) -> Result<Model, WriteUserError> {
    let user = user.row(now).insert(db).await?;
    email::ensure_not_reserved(db, &user, now).await?;
    Ok(user)
}

impl NewUser {
    fn row(self, now: DateTime<Utc>) -> ActiveModel {
        let phone_number = self.phone_number.as_ref();
        ActiveModel {
            search_text: Set(search::text_of(&self.username, &self.email, phone_number)),
            email_key: Set(self.email.key()),
            email: Set(self.email),
            username: Set(self.username),
            password_hash: Set(self.password_hash),
            phone_number: Set(self.phone_number),
            picture: Set(self.picture),
            date_birth: Set(self.date_birth),
            gender: Set(self.gender),
            language: Set(self.language),
            language_chosen: Set(self.language_chosen),
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

/// Returns whether there is any account.
pub async fn exists(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(Entity::find().one(db).await?.is_some())
}

/// Returns the account with this current email in any spelling.
pub async fn find_by_email(
    db: &impl ConnectionTrait,
    email: &Email,
) -> Result<Option<Model>, DbErr> {
    let found = Entity::find().filter(Column::EmailKey.eq(email.key()));
    find_unique(found, db).await
}

/// Returns the accounts that have one of these emails.
pub async fn find_by_emails(
    db: &impl ConnectionTrait,
    emails: &[EmailKey],
) -> Result<Vec<Model>, DbErr> {
    if emails.is_empty() {
        return Ok(Vec::new());
    }
    let keys = emails.iter().map(EmailKey::as_str);
    Entity::find()
        .filter(Column::EmailKey.is_in(keys))
        .all(db)
        .await
}

/// Returns the account with this id.
pub async fn find(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// Returns the accounts with these ids.
pub async fn find_many(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Model>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = Entity::find().filter(Column::Id.is_in(database::pad_to_power_of_two(ids)));
    found.all(db).await
}

/// Returns and locks an account until the transaction ends (see [`lock_no_key_update`]). A transaction that changes several rows of
/// one account locks it first, to avoid deadlocks.
pub async fn lock(transaction: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    find_unique(
        lock_no_key_update(Entity::find_by_id(id), transaction),
        transaction,
    )
    .await
}

/// Returns all accounts, ordered by id.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let rows = list_after(db, last).await?;
        let Some(row) = rows.last() else {
            return Ok(all);
        };
        last = row.id;
        all.extend(rows);
    }
}

/// Returns up to 1,000 accounts after an id, ordered by id.
pub async fn list_after(db: &impl ConnectionTrait, last: i64) -> Result<Vec<Model>, DbErr> {
    next_after(last).all(db).await
}

/// Returns the file names of all pictures.
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

/// Selects the accounts after `last`, up to [`LIST_BATCH_SIZE`].
fn next_after(last: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::Id.gt(last))
        .order_by_asc(Column::Id)
        .limit(LIST_BATCH_SIZE)
}

fn raise_version(update: UpdateMany<Entity>) -> UpdateMany<Entity> {
    update.col_expr(Column::Version, Expr::col(Column::Version).add(1))
}
