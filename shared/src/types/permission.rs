//! Permissions of staff in the dashboard and under `/api/admin/`. A superuser has all of them.

use std::{fmt, str::FromStr};

use sea_orm::DeriveValueType;

use crate::types::validation_error::Invalid;

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// View accounts, their sessions and password resets.
    ViewUsers,
    /// Create accounts and invite their owners.
    AddUsers,
    /// Activate, deactivate, sign out and change accounts other than those of staff, and end lockouts.
    ChangeUsers,
    /// Delete accounts other than those of staff.
    DeleteUsers,
    /// Export accounts as CSV.
    ExportUsers,
    /// View mails, retry them and cancel them.
    Mails,
    /// Read the audit log.
    Audit,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 7] = [
        Self::ViewUsers,
        Self::AddUsers,
        Self::ChangeUsers,
        Self::DeleteUsers,
        Self::ExportUsers,
        Self::Mails,
        Self::Audit,
    ];

    /// Returns whether the permission includes [`Permission::ViewUsers`].
    fn includes_view(self) -> bool {
        matches!(
            self,
            Self::AddUsers | Self::ChangeUsers | Self::DeleteUsers | Self::ExportUsers
        )
    }

    /// Returns the name in rows and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ViewUsers => "view_users",
            Self::AddUsers => "add_users",
            Self::ChangeUsers => "change_users",
            Self::DeleteUsers => "delete_users",
            Self::ExportUsers => "export_users",
            Self::Mails => "mails",
            Self::Audit => "audit",
        }
    }
}

impl FromStr for Permission {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == text)
            .ok_or_else(|| {
                Invalid::new(
                    "choice",
                    "Some of view_users, add_users, change_users, delete_users, export_users, mails, audit.",
                )
            })
    }
}

/// The permissions of an account. Written as names with commas between them, in a fixed order and without repetition. Unknown names
/// are skipped: a newer version of the program may have written them.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct Permissions(Vec<Permission>);

impl Permissions {
    /// Returns whether the account has a permission.
    #[must_use]
    pub fn contains(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Iterates over the permissions.
    pub fn iter(&self) -> impl Iterator<Item = Permission> {
        self.0.iter().copied()
    }

    /// Returns every permission.
    #[must_use]
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// Returns these permissions together with others.
    #[must_use]
    pub fn union(&self, others: &Self) -> Self {
        self.iter().chain(others.iter()).collect()
    }

    /// Returns those of these permissions that are also among others.
    #[must_use]
    pub fn intersection(&self, others: &Self) -> Self {
        self.iter().filter(|it| others.contains(*it)).collect()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the permissions.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(Permission::as_str).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        let mut permissions: Vec<_> = permissions.into_iter().collect();
        permissions.sort_unstable();
        permissions.dedup();
        if permissions.iter().any(|it| it.includes_view()) {
            permissions.insert(0, Permission::ViewUsers);
            permissions.dedup();
        }
        Self(permissions)
    }
}

impl FromStr for Permissions {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.split(',')
            .filter_map(|name| name.trim().parse().ok())
            .map(Ok)
            .collect()
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_in_fixed_order_and_read_in_any() {
        let some: Permissions = "audit, change_users,audit".parse().unwrap();
        assert_eq!(some.to_string(), "view_users,change_users,audit");
        assert_eq!("".parse(), Ok(Permissions::default()));
    }

    /// Programs of two versions share a database during an upgrade.
    #[test]
    fn unknown_permission_in_row_is_skipped() {
        let some: Permissions = "audit,everything".parse().unwrap();
        assert_eq!(some.to_string(), "audit");
        assert!("everything".parse::<Permission>().is_err());
    }

    #[test]
    fn intersection_has_common_permissions_only() {
        let some: Permissions = "change_users,audit,mails".parse().unwrap();
        let others: Permissions = "add_users,mails".parse().unwrap();
        assert_eq!(some.intersection(&others).to_string(), "view_users,mails");
        assert_eq!(others.intersection(&some), some.intersection(&others));
        assert!(some.intersection(&Permissions::default()).is_empty());
    }

    #[test]
    fn permission_on_users_includes_view_permission() {
        for name in ["add_users", "change_users", "delete_users", "export_users"] {
            let some: Permissions = name.parse().unwrap();
            assert_eq!(some.to_string(), format!("view_users,{name}"));
        }
        assert_eq!("audit".parse::<Permissions>().unwrap().to_string(), "audit");
    }
}
