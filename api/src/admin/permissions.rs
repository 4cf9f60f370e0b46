//! Permission as a parameter: what an administrator may do is in the type of a handler's argument, and an act asks for
//! that type. Nobody can make one but the two doors: the dashboard's cookie (`session`) and the bearer token (`token`).

use std::{marker::PhantomData, ops::Deref};

use latchkey_shared::{
    database::Transaction,
    models::{session, user},
    types::permission::Permission,
};
use poem::{FromRequest, Request, RequestBody};

use crate::admin::dashboard::session as cookie;
use crate::{
    app_state::App,
    http::{audit_context::AuditContext, error::ApiError},
};

/// A right, as a type.
pub trait Right: Send + Sync + 'static {
    /// The permission it stands for; `None` is being staff.
    const PERMISSION: Option<Permission>;
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident: $permission:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Right for $name {
                const PERMISSION: Option<Permission> = $permission;
            }
        )*
    };
}

rights! {
    /// Being staff.
    AnyStaff: None;
    /// See [`Permission::ViewUsers`].
    ViewUsers: Some(Permission::ViewUsers);
    /// See [`Permission::ChangeUsers`].
    ChangeUsers: Some(Permission::ChangeUsers);
    /// See [`Permission::DeleteUsers`].
    DeleteUsers: Some(Permission::DeleteUsers);
    /// See [`Permission::Mails`].
    Mails: Some(Permission::Mails);
    /// See [`Permission::Audit`].
    Audit: Some(Permission::Audit);
}

/// An administrator, and where the request comes from.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The account.
    pub user: user::Model,
    /// The login.
    pub session: session::Model,
    /// For the audit log.
    pub trail: AuditContext,
}

impl Admin {
    /// Whether they may do this.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.user.may(permission)
    }

    /// Whether they may change this account at all. Accounts of staff are for superusers: whoever could change the
    /// address of an administrator could take their place.
    #[must_use]
    pub fn can_manage(&self, user: &user::Model) -> bool {
        self.user.is_superuser || !(user.is_staff || user.is_superuser)
    }

    /// Whether they may change what this account may do: superusers, and nobody their own.
    #[must_use]
    pub fn may_set_rights_of(&self, user: &user::Model) -> bool {
        self.user.is_superuser && self.user.id != user.id
    }
}

/// An administrator who has a right.
#[derive(Debug)]
pub struct Permit<R> {
    admin: Admin,
    right: PhantomData<R>,
}

impl<R: Right> Permit<R> {
    /// The permit of an administrator; that it was refused is noted.
    ///
    /// # Errors
    /// When they have not got the right.
    pub(super) async fn ask(app: &App, admin: Admin) -> Result<Self, ApiError> {
        let (id, trail) = (admin.user.id, admin.trail.clone());
        let permit = Self::of(admin);
        if permit.is_err() {
            trail.not_permitted(app, id).await;
        }
        permit
    }

    fn of(admin: Admin) -> Result<Self, ApiError> {
        let user = &admin.user;
        let allowed = match R::PERMISSION {
            Some(permission) => user.may(permission),
            None => user.is_active && user.is_staff,
        };
        if !allowed {
            tracing::info!(user.id, "Refused: no permission.");
            return Err(ApiError::NotPermitted);
        }
        Ok(Self {
            admin,
            right: PhantomData,
        })
    }
}

impl<R: Right> Permit<R> {
    /// Asks once more, in the transaction of an act: a request may have begun long before its last byte came, and the
    /// administrator may have been signed out or have lost the right meanwhile.
    ///
    /// # Errors
    /// When that is so, or the database fails.
    pub(super) async fn reauthorize(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<(), ApiError> {
        let (id, idle) = (self.admin.session.id, app.config.session_idle);
        let alive =
            latchkey_shared::models::session::find_alive(transaction, id, app.now(), idle).await?;
        let (session, user) = alive.ok_or(ApiError::NotPermitted)?;
        let admin = Admin {
            user,
            session,
            trail: self.admin.trail.clone(),
        };
        // What it may touch is judged by what was known of it at the beginning.
        if admin.user.is_superuser != self.admin.user.is_superuser {
            return Err(ApiError::NotPermitted);
        }
        Self::of(admin).map(|_| ())
    }
}

impl<R> Deref for Permit<R> {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

/// By the dashboard's cookie.
impl<'a, R: Right> FromRequest<'a> for Permit<R> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let app = request
            .data::<App>()
            .ok_or_else(|| ApiError::Internal("no state".to_owned()))?;
        let trail = AuditContext::from_request(request, body).await?;
        let signed_in = cookie::find(app, request)
            .await?
            .ok_or_else(|| cookie::LoginRedirect::to_see(app, request))?;
        let admin = Admin {
            user: signed_in.user,
            session: signed_in.session,
            trail,
        };
        Ok(Self::ask(app, admin).await?)
    }
}
