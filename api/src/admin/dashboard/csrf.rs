//! What a page sends back. No handler of a POST sees a form whose token has not been checked: there is no other way to
//! one than through here.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use poem::{Endpoint, FromRequest, Request, RequestBody, Response, http::Method};

use crate::admin::dashboard::session::{self, SIGNED_IN, VISITOR};
use crate::{
    accounts::pictures,
    app_state::App,
    http::{
        audit_context::AuditContext,
        body::{
            self, SMALL, WITH_PICTURE,
            fields::{Fields, Value},
            memory_budget::BudgetPermit,
        },
        error::ApiError,
    },
};

/// The name of the field with the token.
pub const TOKEN: &str = "csrf";

/// The fields of a form, in their order; a name may come several times.
#[derive(Clone, Debug)]
pub struct Form {
    fields: Arc<Mutex<Vec<(String, Value)>>>,
    /// Where they are kept, for as long as the request is.
    _place: Arc<Option<BudgetPermit>>,
}

impl Form {
    /// The text of a field; empty when it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.texts(name).pop().unwrap_or_default()
    }

    /// All texts of this name.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.with(|fields| {
            fields
                .iter()
                .filter(|(field, _)| field == name)
                .filter_map(|(_, value)| match value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect()
        })
    }

    /// Whether a box is ticked.
    #[must_use]
    pub fn is_ticked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// The fields, to be judged. They are gone from here then, the file of a picture among them.
    #[must_use]
    pub fn into_fields(self) -> Fields {
        Fields::new(self.with(mem::take))
    }

    /// The same, without a file field that holds no file.
    #[must_use]
    pub fn into_fields_without(self, file: &str) -> Fields {
        self.with(|fields| {
            fields.retain(|(name, value)| {
                name != file || matches!(value, Value::File(bytes) if !bytes.is_empty())
            });
        });
        self.into_fields()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<(String, Value)>) -> T) -> T {
        f(&mut self
            .fields
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl<'a> FromRequest<'a> for Form {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(request
            .data::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::Internal("a form that was not checked".to_owned()))?)
    }
}

/// Reads the form of every POST and checks its token (OWASP: synchroniser token, here derived from the cookie by a keyed
/// hash), before any handler runs. A browser that says that another site sent it is believed.
///
/// # Errors
/// When the token is not the cookie's, or the form cannot be read.
pub async fn check(endpoint: impl Endpoint, mut request: Request) -> poem::Result<Response> {
    use poem::IntoResponse as _;
    if request.method() == Method::POST {
        let app = request
            .data::<App>()
            .cloned()
            .ok_or_else(|| ApiError::Internal("no state".to_owned()))?;
        let elsewhere = request
            .header("sec-fetch-site")
            .is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let mut body = RequestBody::new(request.take_body());
        let limit = limit(&app, &request).await?;
        let (fields, place) = body::read(&request, &mut body, limit).await?;
        let form = Form {
            fields: Arc::new(Mutex::new(fields)),
            _place: Arc::new(place),
        };
        let cookie = cookie(&app, &request).unwrap_or_default();
        if elsewhere || !app.token_hasher.is_form_token(&cookie, &form.text(TOKEN)) {
            tracing::info!("Refused: a form without its token.");
            return Err(ApiError::FormExpired.into());
        }
        request.set_data(form);
    }
    Ok(endpoint.call(request).await?.into_response())
}

/// How large a form may be. There is one with a picture, and of those who are not signed in it is not read.
async fn limit(app: &App, request: &Request) -> poem::Result<usize> {
    let is_account = request
        .uri()
        .path()
        .strip_prefix("/users/")
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_account || !body::may_be_large(request) {
        return Ok(SMALL);
    }
    let Some(me) = session::find(app, request).await? else {
        return Ok(SMALL);
    };
    let trail = AuditContext::from_request_without_body(request).await?;
    pictures::check_large_body(app, &trail, Some(me.user.id)).await?;
    Ok(WITH_PICTURE)
}

/// The cookie that the forms of this browser are tied to.
#[must_use]
pub fn cookie(app: &App, request: &Request) -> Option<String> {
    session::read(app, request, SIGNED_IN).or_else(|| session::read(app, request, VISITOR))
}
