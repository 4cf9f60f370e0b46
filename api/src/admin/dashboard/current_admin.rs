//! The signed-in administrator, as the templates see them.

use std::sync::Arc;

use latchkey_shared::{models::user, types::permission::Permission};

use crate::admin::permissions::Admin;

/// The signed-in administrator.
#[derive(Clone)]
pub struct CurrentAdmin(Arc<Admin>);

#[expect(missing_docs, reason = "the names say it")]
impl CurrentAdmin {
    #[must_use]
    pub fn of(admin: &Admin) -> Self {
        Self(Arc::new(admin.clone()))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.0.user.username.as_str()
    }

    #[must_use]
    pub fn user(&self) -> &user::Model {
        &self.0.user
    }

    #[must_use]
    pub fn id(&self) -> i64 {
        self.0.user.id
    }

    /// Returns whether bulk actions may include this account: a manageable account other than their own.
    #[must_use]
    pub fn can_select(&self, user: &user::Model) -> bool {
        self.0.can_manage(user) && user.id != self.id()
    }

    /// Returns whether they may remove a lockout of this account, or of an unknown one.
    #[must_use]
    pub fn can_unlock(&self, owner: &Option<user::Model>) -> bool {
        owner.as_ref().is_none_or(|user| self.0.can_manage(user))
    }

    #[must_use]
    pub fn is_superuser(&self) -> bool {
        self.0.is_superuser()
    }

    #[must_use]
    pub fn can_view_users(&self) -> bool {
        self.0.has_permission(Permission::ViewUsers)
    }

    #[must_use]
    pub fn can_add_users(&self) -> bool {
        self.0.has_permission(Permission::AddUsers)
    }

    #[must_use]
    pub fn can_change_users(&self) -> bool {
        self.0.has_permission(Permission::ChangeUsers)
    }

    #[must_use]
    pub fn can_delete_users(&self) -> bool {
        self.0.has_permission(Permission::DeleteUsers)
    }

    #[must_use]
    pub fn can_export_users(&self) -> bool {
        self.0.has_permission(Permission::ExportUsers)
    }

    #[must_use]
    pub fn can_view_mails(&self) -> bool {
        self.0.has_permission(Permission::Mails)
    }

    #[must_use]
    pub fn can_view_audit_log(&self) -> bool {
        self.0.has_permission(Permission::Audit)
    }
}
