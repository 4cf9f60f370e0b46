//! Actions on roles. Only superusers may take them.

use latchkey_shared::{
    database,
    models::{audit::Event, role},
    types::{permission::Permissions, role_name::RoleName},
};

use crate::admin::{
    actions::commit,
    permissions::{Permit, Superuser},
};
use crate::{app_state::App, http::error::ApiError};

/// The entered values of a role.
#[derive(Debug)]
pub struct RoleValues {
    /// The name.
    pub name: RoleName,
    /// The permissions.
    pub permissions: Permissions,
}

/// Creates a role.
pub async fn create(
    app: &App,
    admin: &Permit<Superuser>,
    values: RoleValues,
) -> Result<role::Model, ApiError> {
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let created = role::insert(&transaction, values.name, values.permissions).await?;
    let event = event(admin, "created", None, Some(&created));
    commit(app, transaction, vec![event], Vec::new()).await?;
    Ok(created)
}

/// Changes a role. Fails with an edit conflict if it is no longer at the version of `seen`.
pub async fn change(
    app: &App,
    admin: &Permit<Superuser>,
    seen: &role::Model,
    values: RoleValues,
) -> Result<(), ApiError> {
    if (&values.name, &values.permissions) == (&seen.name, &seen.permissions) {
        return Ok(());
    }
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let changed = role::change(&transaction, seen, values.name, values.permissions).await?;
    let changed = changed.ok_or(ApiError::EditConflict)?;
    let event = event(admin, "changed", Some(seen), Some(&changed));
    commit(app, transaction, vec![event], Vec::new()).await
}

/// Deletes a role. Its members keep their own permissions.
pub async fn delete(app: &App, admin: &Permit<Superuser>, id: i64) -> Result<(), ApiError> {
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let role = role::find(&transaction, id).await?;
    let role = role.ok_or(ApiError::NotFound)?;
    role::delete(&transaction, id).await?;
    let event = event(admin, "deleted", Some(&role), None);
    commit(app, transaction, vec![event], Vec::new()).await
}

fn event(
    admin: &Permit<Superuser>,
    action: &str,
    before: Option<&role::Model>,
    after: Option<&role::Model>,
) -> Event {
    let id = before.or(after).map_or(0, |role| role.id);
    let permissions = |role: Option<&role::Model>| {
        role.map_or("-".to_owned(), |role| format!("[{}]", role.permissions))
    };
    let name =
        |role: Option<&role::Model>| role.map_or("-".to_owned(), |role| role.name.to_string());
    let mut changes = Vec::new();
    for (field, before, after) in [
        ("name", name(before), name(after)),
        ("permissions", permissions(before), permissions(after)),
    ] {
        if before != after {
            changes.push(format!("{field}: {before} → {after}"));
        }
    }
    let mut event = Event {
        changes: Some(changes.join("\n")),
        ..admin.audit_event(None, &format!("role {id} {action}"))
    };
    event.details.role_name = after.or(before).map(|role| role.name.to_string());
    event
}
