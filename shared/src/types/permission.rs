//! Permissions of staff in the dashboard and under `/api/admin/`. A superuser has all of them.

use std::{fmt, str::FromStr};

use sea_orm::DeriveValueType;

use crate::types::validation_error::Invalid;

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// View accounts, their sessions and password resets.
    ViewUsers,
    /// Activate, deactivate, sign out and change accounts other than those of staff, and end lockouts.
    ChangeUsers,
    /// Delete accounts other than those of staff.
    DeleteUsers,
    /// View mails, retry them and cancel them.
    Mails,
    /// Read the audit log.
    Audit,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 5] = [
        Self::ViewUsers,
        Self::ChangeUsers,
        Self::DeleteUsers,
        Self::Mails,
        Self::Audit,
    ];

    /// Returns the name in rows and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ViewUsers => "view_users",
            Self::ChangeUsers => "change_users",
            Self::DeleteUsers => "delete_users",
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
                    "Some of view_users, change_users, delete_users, mails, audit.",
                )
            })
    }
}

/// The permissions of an account. Written as names with commas between them, in a fixed order and without repetition.
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
        // To change or delete accounts, staff have to view them.
        if permissions.contains(&Permission::ChangeUsers)
            || permissions.contains(&Permission::DeleteUsers)
        {
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
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
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
        assert!("audit,everything".parse::<Permissions>().is_err());
    }

    #[test]
    fn delete_permission_includes_view_permission() {
        let some: Permissions = "delete_users".parse().unwrap();
        assert!(some.contains(Permission::ViewUsers));
        assert!(!some.contains(Permission::ChangeUsers));
    }
}
