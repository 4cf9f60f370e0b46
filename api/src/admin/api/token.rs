//! Authorizes requests to `/api/admin/` by bearer token.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use crate::admin::permissions::{Admin, Permit, Requirement};
use crate::{app_state::App, auth::bearer::ActivatedUser, http::audit_context::AuditContext};

/// A staff member with a valid access token and the permission `R`.
pub struct Token<R>(pub Permit<R>);

/// Implemented manually, because the derive macro does not support generics. Uses the security scheme of [`ActivatedUser`].
impl<'a, R: Requirement> ApiExtractor<'a> for Token<R> {
    const TYPES: &'static [ApiExtractorType] = ActivatedUser::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        ActivatedUser::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        ActivatedUser::security_schemes()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let ActivatedUser(me) = ActivatedUser::from_request(request, body, options).await?;
        let audit = <AuditContext as FromRequest>::from_request(request, body).await?;
        let app = App::of(request)?;
        let admin = Admin::load(&app.db, me, audit).await?;
        Ok(Self(Permit::authorize(app, admin).await?))
    }
}
