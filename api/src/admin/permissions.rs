//! Authorization: a handler's argument type is the permission that it requires, and actions require the same type.
//!
//! A [`Permit`] comes only from the dashboard's session cookie (`dashboard::session`) or from a bearer token (`api::token`).

use std::{marker::PhantomData, ops::Deref};

use latchkey_shared::{
    database::Transaction,
    models::{
        audit::{Details, Event, EventKind},
        role, session, user,
    },
    types::permission::{Permission, Permissions},
};
use sea_orm::ConnectionTrait;

use crate::{
    app_state::App,
    auth::bearer::CurrentUser,
    config::sessions::AdminSecondFactor,
    http::{audit_context::AuditContext, error::ApiError},
};

/// What a request requires of an active staff account.
#[derive(Clone, Copy, Debug)]
pub enum Required {
    /// Nothing else.
    Staff,
    /// A permission, of the account or of one of its roles.
    Permission(Permission),
    /// That the account is a superuser.
    Superuser,
}

/// A requirement, as a type.
pub trait Requirement: Send + Sync + 'static {
    /// The requirement.
    const REQUIRED: Required;
    /// Whether `ADMIN_SECOND_FACTOR=required` applies.
    const NEEDS_SECOND_FACTOR: bool = true;
}

macro_rules! requirements {
    ($($(#[$doc:meta])* $name:ident: $required:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Requirement for $name {
                const REQUIRED: Required = $required;
            }
        )*
    };
}

requirements! {
    /// An active staff account.
    AnyStaff: Required::Staff;
    /// A superuser.
    Superuser: Required::Superuser;
    /// [`Permission::ViewUsers`]
    ViewUsers: Required::Permission(Permission::ViewUsers);
    /// [`Permission::AddUsers`]
    AddUsers: Required::Permission(Permission::AddUsers);
    /// [`Permission::ChangeUsers`]
    ChangeUsers: Required::Permission(Permission::ChangeUsers);
    /// [`Permission::DeleteUsers`]
    DeleteUsers: Required::Permission(Permission::DeleteUsers);
    /// [`Permission::ExportUsers`]
    ExportUsers: Required::Permission(Permission::ExportUsers);
    /// [`Permission::Mails`]
    Mails: Required::Permission(Permission::Mails);
    /// [`Permission::Audit`]
    Audit: Required::Permission(Permission::Audit);
}

/// An active staff account that may still lack a required second factor, for the pages that add one.
#[derive(Debug)]
pub struct EnrollingStaff;

impl Requirement for EnrollingStaff {
    const REQUIRED: Required = Required::Staff;
    const NEEDS_SECOND_FACTOR: bool = false;
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
    /// What the account may do, by its own permissions and its roles.
    permissions: Permissions,
}

impl Admin {
    /// Loads the permissions of an account that sends a request. They are never cached.
    pub(super) async fn load(
        db: &impl ConnectionTrait,
        current: CurrentUser,
        audit: AuditContext,
    ) -> Result<Self, ApiError> {
        let CurrentUser { user, session } = current;
        let permissions = role::effective_permissions(db, &user).await?;
        Ok(Self {
            user,
            session,
            audit,
            permissions,
        })
    }

    /// Returns the staff member as a signed-in user, for actions on their own account.
    #[must_use]
    pub fn current_user(&self) -> CurrentUser {
        CurrentUser {
            user: self.user.clone(),
            session: self.session.clone(),
        }
    }

    /// Checks that the account has a second factor and the session has proved it, if `ADMIN_SECOND_FACTOR=required`.
    fn check_required_factor(&self, app: &App) -> Result<(), ApiError> {
        if app.config.sessions.admin_second_factor == AdminSecondFactor::Optional {
            return Ok(());
        }
        if self.user.second_factor_at.is_none() {
            return Err(ApiError::SecondFactorEnrolmentRequired);
        }
        match self.session.second_factor_at {
            Some(_) => Ok(()),
            None => Err(ApiError::RecentSecondFactorRequired),
        }
    }

    /// Returns whether the account has the permission.
    #[must_use]
    pub fn has_permission(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
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

    /// Returns an audit event of an administrative action. [`Self::audit_event_about`] also names the account.
    #[must_use]
    pub fn audit_event(&self, user_id: Option<i64>, detail: &str) -> Event {
        Event {
            user_id,
            detail: Some(detail.to_owned()),
            session_id: Some(self.session.id),
            details: Details {
                actor_name: Some(self.user.username.to_string()),
                ..Details::default()
            },
            ..self.audit.own(EventKind::Admin, self.user.id)
        }
    }

    /// Returns an audit event of an administrative action on an account.
    #[must_use]
    pub fn audit_event_about(&self, user: &user::Model, detail: &str) -> Event {
        let mut event = self.audit_event(Some(user.id), detail);
        event.details.account_name = Some(user.username.to_string());
        event
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
        let permit = Self::check(app, admin);
        if let Err(ApiError::NotPermitted) = &permit {
            audit.record_not_permitted(app, id).await;
        }
        permit
    }

    fn check(app: &App, admin: Admin) -> Result<Self, ApiError> {
        let user = &admin.user;
        let is_permitted = match R::REQUIRED {
            Required::Staff => true,
            Required::Permission(permission) => admin.has_permission(permission),
            Required::Superuser => user.is_superuser,
        };
        if !(is_permitted && user.is_active && user.is_staff) {
            tracing::info!(user.id, "Request rejected: missing permission");
            return Err(ApiError::NotPermitted);
        }
        if R::NEEDS_SECOND_FACTOR {
            admin.check_required_factor(app)?;
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
        let (current, audit) = (CurrentUser { user, session }, self.admin.audit.clone());
        Self::check(app, Admin::load(transaction, current, audit).await?).map(|_| ())
    }
}

impl<R> Deref for Permit<R> {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}
