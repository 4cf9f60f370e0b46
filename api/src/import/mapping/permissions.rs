//! Maps permissions and groups of the source to Latchkey's permissions and roles.

use latchkey_shared::types::permission::{Permission, Permissions};

use crate::import::{mapping::MappedRole, outcome::Reason, row::SourceUser};

/// Returns the account's own permissions and its roles. A group whose name no role can have becomes permissions of its members.
pub(super) fn map(row: &SourceUser, reasons: &mut Vec<Reason>) -> (Permissions, Vec<MappedRole>) {
    let mut own = of_names(&row.permissions, reasons);
    let mut roles = Vec::new();
    for group in &row.groups {
        let permissions = of_names(&group.permissions, reasons);
        let is_empty_role = group.is_role && group.permissions.is_empty();
        if permissions == Permissions::default() && !is_empty_role {
            reasons.push(Reason::GroupsDropped);
            continue;
        }
        if let Ok(name) = group.name.parse() {
            roles.push(MappedRole { name, permissions });
        } else {
            reasons.push(Reason::GroupsDropped);
            own = own.union(&permissions);
        }
    }
    (own, roles)
}

/// Returns the counterparts of named permissions.
fn of_names(names: &[String], reasons: &mut Vec<Reason>) -> Permissions {
    let counterparts: Vec<_> = names.iter().map(|name| counterpart(name)).collect();
    if counterparts.contains(&None) {
        reasons.push(Reason::PermissionsDropped);
    }
    counterparts.into_iter().flatten().collect()
}

/// Returns the permission with this name. For a name of the original, such as `users.view_user`, returns a permission that allows
/// no more than the original's.
fn counterpart(name: &str) -> Option<Permission> {
    match name {
        "users.view_user" => Some(Permission::ViewUsers),
        "users.add_user" => Some(Permission::AddUsers),
        "users.change_user" => Some(Permission::ChangeUsers),
        "users.delete_user" => Some(Permission::DeleteUsers),
        _ => name.parse().ok(),
    }
}
