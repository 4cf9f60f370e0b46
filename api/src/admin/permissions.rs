//! Authorization: a handler's argument type is the permission that it requires, and actions require the same type.
//!
//! A [`Permit`] comes only from the dashboard's session cookie (`dashboard::session`) or from a bearer token (`api::token`): an access
//! token or an API token.

use std::{marker::PhantomData, ops::Deref};

use latchkey_shared::{
    database::Transaction,
    models::{
        api_token,
        audit::{Details, Event, EventKind},
        role, session, user,
    },
    types::permission::{Permission, Permissions},
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

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
    /// That the account is a superuser. An API token never counts as one.
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

/// What proves the identity of a staff member in a request.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A login session: of the dashboard, or of an access token.
    Session(session::Model),
    /// An API token of the account, for a script or a service.
    ApiToken(api_token::Model),
}

/// A staff member who sends a request.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The account.
    pub user: user::Model,
    /// The session or the API token.
    pub credential: Credential,
    /// The request's data for the audit log.
    pub audit: AuditContext,
    /// What the account may do, by its own permissions and its roles. With an API token, only those that it has, too.
    permissions: Permissions,
}

impl Admin {
    /// Loads the permissions of an account that sends a request. They are never cached.
    pub(super) async fn load(
        db: &impl ConnectionTrait,
        user: user::Model,
        credential: Credential,
        audit: AuditContext,
    ) -> Result<Self, ApiError> {
        let mut permissions = role::effective_permissions(db, &user).await?;
        if let Credential::ApiToken(token) = &credential {
            permissions = permissions.intersection(&token.permissions);
        }
        Ok(Self {
            user,
            credential,
            audit,
            permissions,
        })
    }

    /// Loads the account, its permissions and the credential again. Fails if the credential is no longer valid.
    async fn reload(&self, app: &App, db: &impl ConnectionTrait) -> Result<Self, ApiError> {
        let (now, idle) = (app.now(), app.config.sessions.idle);
        let found = match &self.credential {
            Credential::Session(session) => {
                let found = session::find_alive(db, session.id, now, idle).await?;
                found.map(|(session, user)| (Credential::Session(session), user))
            }
            Credential::ApiToken(token) => {
                let found = api_token::find_live(db, token.id, now).await?;
                let found = found.filter(|(_, owner)| owner.is_activated);
                found.map(|(token, owner)| (Credential::ApiToken(token), owner))
            }
        };
        let (credential, user) = found.ok_or(ApiError::NotPermitted)?;
        Self::load(db, user, credential, self.audit.clone()).await
    }

    /// Returns the staff member as a signed-in user, for actions on their own account, which need a session.
    pub fn current_user(&self) -> Result<CurrentUser, ApiError> {
        let Credential::Session(session) = &self.credential else {
            return Err(ApiError::NotPermitted);
        };
        Ok(CurrentUser {
            user: self.user.clone(),
            session: session.clone(),
        })
    }

    /// Returns the id of the login session, if the request has one.
    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        match &self.credential {
            Credential::Session(session) => Some(session.id),
            Credential::ApiToken(_) => None,
        }
    }

    /// Checks that the account has a second factor and the session has proved it, if `ADMIN_SECOND_FACTOR=required`. API
    /// tokens need none.
    fn check_required_factor(&self, app: &App) -> Result<(), ApiError> {
        let Credential::Session(session) = &self.credential else {
            return Ok(());
        };
        if app.config.sessions.admin_second_factor == AdminSecondFactor::Optional {
            return Ok(());
        }
        if self.user.second_factor_at.is_none() {
            return Err(ApiError::SecondFactorEnrolmentRequired);
        }
        match session.second_factor_at {
            Some(_) => Ok(()),
            None => Err(ApiError::RecentSecondFactorRequired),
        }
    }

    /// Returns whether they act as a superuser. An API token has single permissions only, even that of a superuser.
    #[must_use]
    pub fn is_superuser(&self) -> bool {
        self.user.is_superuser && matches!(self.credential, Credential::Session(_))
    }

    /// Returns whether the account has the permission, and the API token of the request, if any.
    #[must_use]
    pub fn has_permission(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// Returns whether they may change this account. Only superusers may change staff accounts: with control of an
    /// administrator's email address, other staff could take over the administrator's account.
    #[must_use]
    pub fn can_manage(&self, user: &user::Model) -> bool {
        self.is_superuser() || !(user.is_staff || user.is_superuser)
    }

    /// Returns whether they may change the permissions of this account: superusers may, except for their own account.
    #[must_use]
    pub fn can_set_permissions(&self, user: &user::Model) -> bool {
        self.is_superuser() && self.user.id != user.id
    }

    /// Returns an audit event of an administrative action. [`Self::audit_event_about`] also names the account.
    #[must_use]
    pub fn audit_event(&self, user_id: Option<i64>, detail: &str) -> Event {
        Event {
            user_id,
            detail: Some(detail.to_owned()),
            session_id: self.session_id(),
            details: Details {
                actor_name: Some(self.user.username.to_string()),
                ..self.credential_details()
            },
            ..self.audit.own(EventKind::Admin, self.user.id)
        }
    }

    /// Returns the details of an audit event that name the API token.
    fn credential_details(&self) -> Details {
        match &self.credential {
            Credential::Session(_) => Details::default(),
            Credential::ApiToken(token) => Details {
                api_token_id: Some(token.id.to_string()),
                api_token_name: Some(token.name.to_string()),
                ..Details::default()
            },
        }
    }

    /// Records a request without the required permission.
    pub(super) async fn record_not_permitted(&self, app: &App) {
        let event = Event {
            details: self.credential_details(),
            ..self.audit.own(EventKind::NotPermitted, self.user.id)
        };
        let (audit, kind) = (&self.audit, "not permitted");
        app.record_sampled(audit, kind, event).await;
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
        if let Err(error) = Self::check(&admin) {
            admin.record_not_permitted(app).await;
            return Err(error);
        }
        Self::check_factor(app, &admin)?;
        Ok(Self {
            admin,
            requirement: PhantomData,
        })
    }

    fn check(admin: &Admin) -> Result<(), ApiError> {
        let user = &admin.user;
        let is_permitted = match R::REQUIRED {
            Required::Staff => true,
            Required::Permission(permission) => admin.has_permission(permission),
            Required::Superuser => admin.is_superuser(),
        };
        if !(is_permitted && user.is_active && user.is_staff) {
            tracing::info!(user.id, "Request rejected: missing permission");
            return Err(ApiError::NotPermitted);
        }
        Ok(())
    }

    fn check_factor(app: &App, admin: &Admin) -> Result<(), ApiError> {
        if R::NEEDS_SECOND_FACTOR {
            admin.check_required_factor(app)?;
        }
        Ok(())
    }

    /// Repeats the check inside the transaction of an action, and returns the current state. The session may have ended, the API
    /// token or the permission may have been revoked, while the server received the request.
    pub(super) async fn reauthorize(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<Admin, ApiError> {
        let current = self.admin.reload(app, transaction).await?;
        // `can_manage` uses the superuser flag that was read at the start of the request.
        if current.is_superuser() != self.admin.is_superuser() {
            return Err(ApiError::NotPermitted);
        }
        Self::check(&current)?;
        Self::check_factor(app, &current)?;
        Ok(current)
    }
}

impl<R> Deref for Permit<R> {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}
