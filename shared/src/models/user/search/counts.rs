//! Numbers of accounts for the filters of the dashboard.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{FromQueryResult, Statement, entity::prelude::*};

use crate::models::user::search::MAX_COUNTED;

/// The numbers of accounts of each kind, each up to [`MAX_COUNTED`] + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct Counts {
    /// All accounts.
    pub all: i64,
    /// Not activated, pending approval by staff.
    pub pending_approval: i64,
    /// Not activated, pending verification by the owner.
    pub pending_verification: i64,
    /// Activated and not deactivated.
    pub active: i64,
    /// Deactivated.
    pub deactivated: i64,
    /// With access to the dashboard.
    pub staff: i64,
    /// Without access to the dashboard.
    pub not_staff: i64,
    /// Superusers.
    pub superusers: i64,
    /// Gender `male`.
    pub male: i64,
    /// Gender `female`.
    pub female: i64,
    /// Without a gender.
    pub no_gender: i64,
    /// Registered within a day.
    pub joined_1: i64,
    /// Registered within 7 days.
    pub joined_7: i64,
    /// Registered within 30 days.
    pub joined_30: i64,
}

/// The name of each count and its condition. The parameters are times a day, 7 and 30 days ago.
const CONDITIONS: [(&str, &str); 14] = [
    ("all", "TRUE"),
    (
        "pending_approval",
        "is_activated = FALSE AND is_active = TRUE AND pending_email_verification = FALSE",
    ),
    (
        "pending_verification",
        "is_activated = FALSE AND is_active = TRUE AND pending_email_verification = TRUE",
    ),
    ("active", "is_activated = TRUE AND is_active = TRUE"),
    ("deactivated", "is_active = FALSE"),
    ("staff", "is_staff = TRUE"),
    ("not_staff", "is_staff = FALSE"),
    ("superusers", "is_staff = TRUE AND is_superuser = TRUE"),
    ("male", "gender = 'male'"),
    ("female", "gender = 'female'"),
    ("no_gender", "gender IS NULL"),
    ("joined_1", "created_at >= $1"),
    ("joined_7", "created_at >= $2"),
    ("joined_30", "created_at >= $3"),
];

/// Returns all counts in one round trip. Each one reads an index, as far as it counts.
pub async fn counts(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Counts, DbErr> {
    let columns: Vec<_> = CONDITIONS
        .iter()
        .map(|(name, which)| {
            format!(
                "(SELECT count(*) FROM (SELECT 1 AS one FROM users WHERE {which} LIMIT {}) AS part) AS \"{name}\"",
                MAX_COUNTED + 1
            )
        })
        .collect();
    let statement = Statement::from_sql_and_values(
        db.get_database_backend(),
        format!("SELECT {}", columns.join(", ")),
        [1, 7, 30].map(|days| (now - TimeDelta::days(days)).into()),
    );
    Ok(Counts::find_by_statement(statement)
        .one(db)
        .await?
        .unwrap_or_default())
}
