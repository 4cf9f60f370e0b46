//! Checks that a database is one of the original in a known state.

use std::collections::BTreeSet;

use crate::import::{
    error::ImportError,
    source::django::{Connection, source},
};

/// The migrations of the original's app `users`. The last three bring columns that the import reads.
pub const MIGRATIONS: [&str; 14] = [
    "0001_initial",
    "0002_advertcategory_merchant_advertiser",
    "0003_remove_advertiser_is_activated_and_more",
    "0004_resetpassword",
    "0005_alter_resetpassword_created_at",
    "0006_alter_resetpassword_otp",
    "0007_resetpassword_token",
    "0008_alter_resetpassword_otp",
    "0009_alter_advertiser_category",
    "0010_remove_advertiser_category_and_more",
    "0011_remove_user_otp",
    "0012_alter_user_phonenumber",
    "0013_remove_resetpassword_otp",
    "0014_resetpassword_is_checked",
];

/// Refuses a database whose `users` migrations are not exactly those of the original.
pub(super) async fn check(connection: &Connection) -> Result<(), ImportError> {
    let sql = "SELECT CAST(name AS text) AS name FROM django_migrations WHERE app = 'users'";
    let rows = connection.all(sql, [0_i64; 0]).await;
    let rows = rows.map_err(|error| {
        ImportError::Source(format!(
            "not a readable database of the original, which has a table django_migrations: {error}"
        ))
    })?;
    let applied: Result<BTreeSet<String>, _> =
        rows.iter().map(|row| row.try_get("", "name")).collect();
    compare(&applied.map_err(source)?).map_err(ImportError::Source)
}

/// Compares the applied migrations with the known ones.
pub(in crate::import) fn compare(applied: &BTreeSet<String>) -> Result<(), String> {
    if let Some(missing) = MIGRATIONS.iter().find(|name| !applied.contains(**name)) {
        return Err(format!(
            "the source lacks the migration users.{missing}: run `python manage.py migrate` in the original first"
        ));
    }
    match applied
        .iter()
        .find(|name| !MIGRATIONS.contains(&name.as_str()))
    {
        Some(unknown) => Err(format!(
            "the source has the migration users.{unknown}, which this version does not know: its columns may mean something else"
        )),
        None => Ok(()),
    }
}
