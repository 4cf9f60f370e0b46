//! Permission as a parameter: what an administrator may do is in the type of a handler's argument, and an act asks for
//! that type. Nobody can make one but the two doors: the dashboard's cookie (`session`) and the bearer token (`token`).

use std::{marker::PhantomData, ops::Deref};

use latchkey_shared::{permission::Permission, session, user};
use poem::{FromRequest, Request, RequestBody};

use super::session as cookie;
use crate::{app::App, audit::Trail, error::ApiError};

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
    pub trail: Trail,
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
    pub fn may_touch(&self, user: &user::Model) -> bool {
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
    /// The permit of an administrator.
    ///
    /// # Errors
    /// When they have not got the right.
    pub(super) fn of(admin: Admin) -> Result<Self, ApiError> {
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
        let trail = Trail::from_request(request, body).await?;
        let signed_in = cookie::find(app, request)
            .await?
            .ok_or_else(|| cookie::SignInFirst::to_see(request))?;
        let admin = Admin {
            user: signed_in.user,
            session: signed_in.session,
            trail,
        };
        Ok(Self::of(admin)?)
    }
}
