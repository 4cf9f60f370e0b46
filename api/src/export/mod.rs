//! Exports all accounts with their password hashes, so that they can be moved to another installation or system.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use latchkey_shared::{
    database::{self, Database},
    models::{role, user},
    types::permission::Permissions,
};
use sea_orm::DbErr;

use crate::{
    import::account_line::{AccountLine, RoleLine},
    passwords::django,
};

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output cannot be written.
    #[error("the output: {0}")]
    Output(#[from] io::Error),
    /// The database failed.
    #[error("the database: {}", database::describe(.0))]
    Database(#[from] DbErr),
}

/// Writes each account as a line of JSON, ordered by id, from one snapshot. Returns their number.
pub async fn jsonl(db: &Database, output: &mut impl Write) -> Result<u64, ExportError> {
    let snapshot = database::begin_snapshot(db).await?;
    let mut roles = role::list(&snapshot).await?;
    // SQLite and PostgreSQL sort letters differently.
    roles.sort_by_key(|role| role.name.to_string());
    let (mut count, mut last) = (0, 0);
    loop {
        let users = user::list_after(&snapshot, last).await?;
        let ids: Vec<_> = users.iter().map(|user| user.id).collect();
        let Some(highest) = ids.last() else {
            break;
        };
        last = *highest;
        let assigned = role::ids_of_users(&snapshot, &ids).await?;
        for user in users {
            let assigned = assigned.get(&user.id).map_or(&[][..], Vec::as_slice);
            let own = roles.iter().filter(|role| assigned.contains(&role.id));
            serde_json::to_writer(&mut *output, &line(user, own)).map_err(io::Error::from)?;
            output.write_all(b"\n")?;
            count += 1;
        }
    }
    output.flush()?;
    Ok(count)
}

/// Returns the line of an account.
fn line<'a>(user: user::Model, roles: impl Iterator<Item = &'a role::Model>) -> AccountLine {
    let role = |role: &role::Model| RoleLine {
        name: role.name.to_string(),
        permissions: names(&role.permissions),
    };
    AccountLine {
        id: Some(user.id),
        email: user.email.to_string(),
        username: Some(user.username.to_string()),
        phone_number: user.phone_number.map(|number| number.to_string()),
        date_birth: user.date_birth.map(|date| date.to_string()),
        gender: user.gender.map(|gender| gender.to_string()),
        language: user.language.map(|language| language.to_string()),
        language_chosen: user.language_chosen,
        image: user.picture,
        password: Some(django::to_common_format(&user.password_hash).to_owned()),
        is_activated: user.is_activated,
        pending_email_verification: user.pending_email_verification,
        is_active: user.is_active,
        is_staff: user.is_staff,
        is_superuser: user.is_superuser,
        permissions: names(&user.permissions),
        roles: roles.map(role).collect(),
        created: Some(time(user.created_at)),
        last_login: user.last_login_at.map(time),
    }
}

fn names(permissions: &Permissions) -> Vec<String> {
    let names = permissions.names().into_iter();
    names.map(str::to_owned).collect()
}

/// Formats a time to the microsecond, as both databases store it.
fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
