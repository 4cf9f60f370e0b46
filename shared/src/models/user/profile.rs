//! What owners change of their profiles: one account's, or those of several at once.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sea_orm::{
    QueryTrait, UpdateMany,
    entity::prelude::*,
    sea_query::{CaseStatement, Expr, ExprTrait as _, SimpleExpr, TableRef, Value, ValueTuple},
};

use crate::models::user::{Column, Entity, Model, WriteUserError, raise_version};
use crate::{
    database,
    models::session,
    types::{email::Email, gender::Gender, phone_number::PhoneNumber, username::Username},
};

/// What the owner changes; `None` leaves a field as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// See [`Model::email`].
    pub email: Option<Email>,
    /// See [`Model::username`].
    pub username: Option<Username>,
    /// See [`Model::phone_number`].
    pub phone_number: Option<Option<PhoneNumber>>,
    /// See [`Model::picture`].
    pub picture: Option<Option<String>>,
    /// See [`Model::date_birth`].
    pub date_birth: Option<Option<NaiveDate>>,
    /// See [`Model::gender`].
    pub gender: Option<Option<Gender>>,
}

impl ProfileChange {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                email: None,
                username: None,
                phone_number: None,
                picture: None,
                date_birth: None,
                gender: None,
            }
        )
    }
}

/// Writes what the owner changed and returns the row as it is then.
///
/// # Errors
/// When the new address is taken, or the database fails.
pub async fn change(
    db: &impl ConnectionTrait,
    user: Model,
    change: ProfileChange,
    now: DateTime<Utc>,
) -> Result<Model, WriteUserError> {
    if change.is_empty() {
        return Ok(user);
    }
    let changed = Entity::update_many().filter(Column::Id.eq(user.id));
    let changed = set(changed, change, now).exec_with_returning(db).await?;
    changed
        .into_iter()
        .next()
        .ok_or(WriteUserError::Database(DbErr::RecordNotUpdated))
}

/// The columns of a profile that change, and the version, which always does.
pub(super) fn set(
    mut update: UpdateMany<Entity>,
    change: ProfileChange,
    now: DateTime<Utc>,
) -> UpdateMany<Entity> {
    let mut columns: Vec<(Column, Value)> = Vec::new();
    let mut set = |column, value| columns.push((column, value));
    if let Some(email) = change.email {
        // Another spelling of the same address stays proved.
        let kept = |column| Expr::case(Column::EmailKey.eq(email.key()), Expr::col(column));
        update = update
            .col_expr(
                Column::EmailVerifiedAt,
                kept(Column::EmailVerifiedAt)
                    .finally(None::<DateTime<Utc>>)
                    .into(),
            )
            .col_expr(
                Column::EmailSetAt,
                kept(Column::EmailSetAt).finally(now).into(),
            );
        set(Column::EmailKey, email.key().into());
        set(Column::Email, email.into());
    }
    if let Some(username) = change.username {
        set(Column::Username, username.into());
    }
    if let Some(phone_number) = change.phone_number {
        set(Column::PhoneNumber, phone_number.into());
    }
    if let Some(picture) = change.picture {
        set(Column::Picture, picture.into());
    }
    if let Some(date_birth) = change.date_birth {
        set(Column::DateBirth, date_birth.into());
    }
    if let Some(gender) = change.gender {
        set(Column::Gender, gender.into());
    }
    columns
        .into_iter()
        .fold(raise_version(update), |update, (column, value)| {
            update.col_expr(column, Expr::value(value))
        })
}

/// What changes of a profile and concerns nobody but the row itself: all but the address and the picture.
#[derive(Clone, Debug)]
pub struct SimpleProfileUpdate {
    /// Whose profile.
    pub user_id: i64,
    /// The session by which it is changed.
    pub session_id: Uuid,
    change: ProfileChange,
}

impl SimpleProfileUpdate {
    /// A change by a session of its owner, if it is such a one and changes anything.
    #[must_use]
    pub fn of(session: &session::Model, change: &ProfileChange) -> Option<Self> {
        let plain = change.email.is_none() && change.picture.is_none() && !change.is_empty();
        plain.then(|| Self {
            user_id: session.user_id,
            session_id: session.id,
            change: change.clone(),
        })
    }

    /// A row of [`CHANGES`].
    fn row(self) -> ValueTuple {
        let change = self.change;
        ValueTuple::Many(vec![
            self.user_id.into(),
            change.username.into(),
            change.phone_number.is_some().into(),
            change.phone_number.flatten().into(),
            change.date_birth.is_some().into(),
            change.date_birth.flatten().into(),
            change.gender.is_some().into(),
            change.gender.flatten().into(),
        ])
    }
}

/// The list of the changes in [`change_many`]'s statement. Its columns have the names that both databases give them.
const CHANGES: &str = "changes";

fn changes(column: u8) -> SimpleExpr {
    Expr::col((CHANGES, format!("column{column}")))
}

/// What the list has in `column`, if it says so in the one before, or else what the row has.
fn changed(column: u8, own: Column) -> CaseStatement {
    CaseStatement::new()
        .case(changes(column - 1), changes(column))
        .finally(Expr::col((Entity, own)))
}

/// Writes changes of different users, in one statement, each as long as its session counts and the account is activated;
/// returns the rows that it changed. What somebody else is changing just now is left alone, so that nobody waits for
/// another's account.
///
/// # Errors
/// When the database fails.
pub async fn change_many(
    db: &impl ConnectionTrait,
    changes_of: &[SimpleProfileUpdate],
    now: DateTime<Utc>,
    idle: TimeDelta,
) -> Result<Vec<Model>, DbErr> {
    let sessions: Vec<_> = changes_of.iter().map(|change| change.session_id).collect();
    let holders = session::holders(&sessions, now, idle);
    // The last is there as often as the number needs, for the same user and with the same values.
    let rows = database::pad_to_power_of_two(changes_of)
        .map(SimpleProfileUpdate::row)
        .collect();
    let mut update = raise_version(Entity::update_many())
        .col_expr(
            Column::Username,
            changes(2).if_null(Expr::col((Entity, Column::Username))),
        )
        .col_expr(Column::PhoneNumber, changed(4, Column::PhoneNumber).into())
        .col_expr(Column::DateBirth, changed(6, Column::DateBirth).into())
        .col_expr(Column::Gender, changed(8, Column::Gender).into())
        .filter(Expr::col((Entity, Column::Id)).eq(changes(1)))
        .filter(Column::IsActivated.eq(true))
        .filter(Column::Id.in_subquery(database::skip_locked(holders, db)));
    QueryTrait::query(&mut update).from(TableRef::ValuesList(rows, CHANGES.into()));
    update.exec_with_returning(db).await
}
