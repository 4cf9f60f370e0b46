//! CSRF protection: reads every form and checks its token before a handler runs. Handlers get forms only from here.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use poem::{
    Endpoint, FromRequest, IntoResponse as _, Request, RequestBody, Response, http::Method,
};

use crate::admin::dashboard::{cookies, session};
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

/// The name of the form field with the token.
const TOKEN_FIELD: &str = "csrf";

/// The fields of a form, in order. A name may occur several times.
#[derive(Clone, Debug)]
pub struct Form {
    fields: Arc<Mutex<Vec<(String, Value)>>>,
    /// The memory of the body, until the request ends.
    _memory: Arc<Option<BudgetPermit>>,
}

impl Form {
    /// Returns the text of a field, or an empty string.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.texts(name).pop().unwrap_or_default()
    }

    /// Returns all texts with this name.
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

    /// Returns whether a checkbox is checked.
    #[must_use]
    pub fn is_checked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// Takes the fields, including uploaded files, for validation.
    #[must_use]
    pub fn into_fields(self) -> Fields {
        Fields::new(self.with(mem::take))
    }

    /// Takes the fields for validation, without this file field if it has no file.
    #[must_use]
    pub fn into_fields_without_empty(self, file: &str) -> Fields {
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
            .ok_or_else(|| ApiError::Internal("form without a CSRF check".to_owned()))?)
    }
}

/// Middleware that checks the CSRF token of every POST: an HMAC of the cookie (OWASP: HMAC-based token pattern). Also rejects
/// forms that come from another site according to `Sec-Fetch-Site`.
pub async fn check(endpoint: impl Endpoint, mut request: Request) -> poem::Result<Response> {
    if request.method() == Method::POST {
        let app = App::of(&request)?.clone();
        let is_cross_site = request
            .header("sec-fetch-site")
            .is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let mut body = RequestBody::new(request.take_body());
        let limit = max_form_bytes(&app, &request).await?;
        let (fields, memory) = body::read(&request, &mut body, limit).await?;
        let form = Form {
            fields: Arc::new(Mutex::new(fields)),
            _memory: Arc::new(memory),
        };
        let cookie = cookies::csrf_binding(&app, &request).unwrap_or_default();
        if is_cross_site
            || !app
                .token_hasher
                .is_form_token(&cookie, &form.text(TOKEN_FIELD))
        {
            tracing::info!("Form rejected: invalid CSRF token");
            return Err(ApiError::FormExpired.into());
        }
        request.set_data(form);
    }
    Ok(endpoint.call(request).await?.into_response())
}

/// Returns the maximum size of the form in bytes. Only the account form may contain a picture, and only of a signed-in user.
async fn max_form_bytes(app: &App, request: &Request) -> poem::Result<usize> {
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
    let audit = AuditContext::from_request_without_body(request).await?;
    pictures::count_large_body(app, &audit, Some(me.user.id)).await?;
    Ok(WITH_PICTURE)
}
