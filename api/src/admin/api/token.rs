//! The door of scripts: a bearer token of a login becomes a permit, as the dashboard's cookie does.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use crate::admin::permissions::{Admin, Permit, Right};
use crate::{
    app_state::App,
    auth::bearer::ActivatedUser,
    http::{audit_context::AuditContext, error::ApiError},
};

/// An administrator by a living access token, whose account is activated and has the right.
pub struct Token<R>(pub Permit<R>);

/// By hand, because the derive knows no generics. In the document it is the scheme of every call with a token.
impl<'a, R: Right> ApiExtractor<'a> for Token<R> {
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
        let admin = Admin {
            trail: <AuditContext as FromRequest>::from_request(request, body).await?,
            user: me.user,
            session: me.session,
        };
        let app = request
            .data::<App>()
            .ok_or_else(|| ApiError::Internal("no state".to_owned()))?;
        Ok(Self(Permit::ask(app, admin).await?))
    }
}
