//! Authorization: a handler's argument type is the permission that it requires, and actions require the same type.
//!
//! A [`Permit`] comes only from the dashboard's session cookie (`dashboard::session`) or from a bearer token (`api::token`).

use std::{marker::PhantomData, ops::Deref};

use latchkey_shared::{
    database::Transaction,
    models::{
        audit::{Event, EventKind},
        session, user,
    },
    types::permission::Permission,
};

use crate::{
    app_state::App,
    http::{audit_context::AuditContext, error::ApiError},
};

/// A required permission, as a type.
pub trait Requirement: Send + Sync + 'static {
    /// The permission; `None` requires an active staff account only.
    const PERMISSION: Option<Permission>;
}

macro_rules! requirements {
    ($($(#[$doc:meta])* $name:ident: $permission:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Requirement for $name {
                const PERMISSION: Option<Permission> = $permission;
            }
        )*
    };
}

requirements! {
    /// An active staff account.
    AnyStaff: None;
    /// [`Permission::ViewUsers`]
    ViewUsers: Some(Permission::ViewUsers);
    /// [`Permission::AddUsers`]
    AddUsers: Some(Permission::AddUsers);
    /// [`Permission::ChangeUsers`]
    ChangeUsers: Some(Permission::ChangeUsers);
    /// [`Permission::DeleteUsers`]
    DeleteUsers: Some(Permission::DeleteUsers);
    /// [`Permission::ExportUsers`]
    ExportUsers: Some(Permission::ExportUsers);
    /// [`Permission::Mails`]
    Mails: Some(Permission::Mails);
    /// [`Permission::Audit`]
    Audit: Some(Permission::Audit);
}

/// A staff member who sends a request.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The account.
    pub user: user::Model,
    /// The login session.
    pub session: session::Model,
    /// The request's data for the audit log.
    pub audit: AuditContext,
}

impl Admin {
    /// Returns whether the account has the permission.
    #[must_use]
    pub fn has_permission(&self, permission: Permission) -> bool {
        self.user.may(permission)
    }

    /// Returns whether they may change this account. Only superusers may change staff accounts: with control of an
    /// administrator's email address, other staff could take over the administrator's account.
    #[must_use]
    pub fn can_manage(&self, user: &user::Model) -> bool {
        self.user.is_superuser || !(user.is_staff || user.is_superuser)
    }

    /// Returns whether they may change the permissions of this account: superusers may, except for their own account.
    #[must_use]
    pub fn can_set_permissions(&self, user: &user::Model) -> bool {
        self.user.is_superuser && self.user.id != user.id
    }

    /// Returns an audit event of an administrative action.
    #[must_use]
    pub fn audit_event(&self, user_id: Option<i64>, detail: &str) -> Event {
        Event {
            user_id,
            detail: Some(detail.to_owned()),
            session_id: Some(self.session.id),
            ..self.audit.own(EventKind::Admin, self.user.id)
        }
    }
}

/// A staff member who has the permission `R`.
#[derive(Debug)]
pub struct Permit<R> {
    admin: Admin,
    requirement: PhantomData<R>,
}

impl<R: Requirement> Permit<R> {
    /// Checks the permission. Records a refusal in the audit log.
    pub(super) async fn authorize(app: &App, admin: Admin) -> Result<Self, ApiError> {
        let (id, audit) = (admin.user.id, admin.audit.clone());
        let permit = Self::check(admin);
        if permit.is_err() {
            audit.record_not_permitted(app, id).await;
        }
        permit
    }

    fn check(admin: Admin) -> Result<Self, ApiError> {
        let user = &admin.user;
        let is_permitted = match R::PERMISSION {
            Some(permission) => user.may(permission),
            None => user.is_active && user.is_staff,
        };
        if !is_permitted {
            tracing::info!(user.id, "Request rejected: missing permission");
            return Err(ApiError::NotPermitted);
        }
        Ok(Self {
            admin,
            requirement: PhantomData,
        })
    }

    /// Repeats the check inside the transaction of an action. The session may have ended, or the permission may have been
    /// revoked, while the server received the request.
    pub(super) async fn reauthorize(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<(), ApiError> {
        let (id, idle) = (self.admin.session.id, app.config.sessions.idle);
        let alive = session::find_alive(transaction, id, app.now(), idle).await?;
        let (session, user) = alive.ok_or(ApiError::NotPermitted)?;
        // `can_manage` uses the superuser flag that was read at the start of the request.
        if user.is_superuser != self.admin.user.is_superuser {
            return Err(ApiError::NotPermitted);
        }
        let audit = self.admin.audit.clone();
        Self::check(Admin {
            user,
            session,
            audit,
        })
        .map(|_| ())
    }
}

impl<R> Deref for Permit<R> {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}
