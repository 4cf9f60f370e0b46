//! Authorizes requests to `/api/admin/` by bearer token: an access token or an API token.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use crate::admin::permissions::{Admin, Credential, Permit, Requirement};
use crate::{
    app_state::App,
    auth::{
        api_token::{self, ApiToken},
        bearer::ActivatedUser,
    },
    http::audit_context::AuditContext,
};

/// A staff member with the permission `R`, whose request has a valid access token or API token.
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
        let app = App::of(request)?;
        let audit = <AuditContext as FromRequest>::from_request(request, body).await?;
        let (user, credential) = if let Some(token) = ApiToken::of_request(request) {
            let (token, owner) = api_token::authenticate(app, &token, &audit).await?;
            (owner, Credential::ApiToken(token))
        } else {
            let ActivatedUser(me) = ActivatedUser::from_request(request, body, options).await?;
            (me.user, Credential::Session(me.session))
        };
        let admin = Admin::load(&app.db, user, credential, audit).await?;
        Ok(Self(Permit::authorize(app, admin).await?))
    }
}
