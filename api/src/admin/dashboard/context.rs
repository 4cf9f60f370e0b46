//! The context of a page: language, theme, CSRF token and flash message. Renders templates into responses.

use askama::{Template, filters::Safe};
use latchkey_shared::models::user;
use poem::{
    FromRequest, Request, RequestBody, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    web::cookie::Cookie,
};

use crate::admin::dashboard::{
    account_status::AccountStatus,
    assets,
    cookies::{self, FLASH, LANGUAGE, THEME, VISITOR},
    i18n::{ARABIC, ENGLISH, Texts},
    redirect::{Flash, with_retry_after},
};
use crate::{app_state::App, auth::jwt::ResetToken, http::error::ApiError};

/// The Content-Security-Policy of the pages: own resources and form targets only, no inline scripts or styles.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; frame-src 'self'; \
                                       connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The context of one page.
#[derive(Clone)]
pub struct View {
    /// The texts in the user's language.
    pub t: &'static Texts,
    /// `PRODUCT_NAME`
    pub product: String,
    /// The path of `PUBLIC_URL`, which precedes every path in a page. Form values and the code use paths without it.
    pub base: String,
    /// The URL path of the logo.
    pub logo: String,
    /// The URL path of the style sheet with `BRAND_COLOR`, if that is not the default.
    pub brand_stylesheet: Option<String>,
    /// `PASSWORD_MIN_LENGTH`
    pub min_password: usize,
    /// `light`, `dark`, or `None` for the system's theme.
    pub theme: Option<&'static str>,
    /// The CSRF token for forms.
    pub csrf: String,
    /// The path and query of the page, for redirects back to it.
    pub path: String,
    flash: Option<Flash>,
    /// The id of the element that htmx replaces.
    htmx_target: Option<String>,
    cookies: Vec<Cookie>,
}

impl<'a> FromRequest<'a> for View {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let app = App::of(request)?;
        Ok(Self::of(app, request))
    }
}

impl View {
    /// Returns the context of the requested page.
    #[must_use]
    pub fn of(app: &App, request: &Request) -> Self {
        let mut cookies = Vec::new();
        let binding = cookies::csrf_binding(app, request).unwrap_or_else(|| {
            let name = ResetToken::generate();
            cookies.push(cookies::build(app, VISITOR, name.expose()));
            name.expose().to_owned()
        });
        let flash = Flash::read(app, request);
        if flash.is_some() && request.method() == Method::GET {
            cookies.push(cookies::removal(app, FLASH));
        }
        let base = app.config.common.base_path();
        let asset = |name| Some(format!("{base}{}", app.branding.path(name)?));
        Self {
            logo: asset("logo").unwrap_or_default(),
            brand_stylesheet: asset("brand.css"),
            t: texts(app, request),
            product: app.config.common.mail_branding.product.clone(),
            base: base.to_owned(),
            min_password: app.passwords.min_length,
            theme: match cookies::read(app, request, THEME).as_deref() {
                Some("light") => Some("light"),
                Some("dark") => Some("dark"),
                _ => None,
            },
            csrf: app.token_hasher.form_token(&binding),
            flash,
            htmx_target: request
                .header("hx-request")
                .and_then(|_| request.header("hx-target"))
                .map(str::to_owned),
            path: request
                .original_uri()
                .path_and_query()
                .map_or("/admin/".to_owned(), ToString::to_string),
            cookies,
        }
    }

    /// Returns the context for a page at another path, for the response to a form.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the URL path of an asset. It changes with the content.
    #[must_use]
    pub fn asset(&self, name: &str) -> String {
        format!("{}{}", self.base, assets::path(name))
    }

    /// Returns an icon of the sprite. It has no text alternative.
    #[must_use]
    pub fn icon(&self, name: &str) -> Safe<String> {
        let sprite = self.asset("icons.svg");
        Safe(format!(
            "<svg class=\"icon\" aria-hidden=\"true\"><use href=\"{sprite}#{name}\"/></svg>"
        ))
    }

    /// Returns the status of an account.
    #[must_use]
    pub fn status(&self, user: &user::Model) -> AccountStatus {
        AccountStatus::of(user)
    }

    /// Returns whether htmx requests only the element with this id.
    #[must_use]
    pub fn is_partial(&self, id: &str) -> bool {
        self.htmx_target.as_deref() == Some(id)
    }

    /// Returns the text of the flash message.
    #[must_use]
    pub fn flash(&self) -> Option<String> {
        let flash = self.flash.as_ref()?;
        let text = self.t.flash(&flash.key)?;
        Some(match flash.count {
            1 => text.to_owned(),
            count => format!("{text} ({count})"),
        })
    }

    /// Renders a page.
    pub fn page(&self, status: StatusCode, page: &impl Template) -> poem::Result<Response> {
        let html = page
            .render()
            .map_err(|error| ApiError::Internal(format!("template: {error}")))?;
        let mut response = Response::builder()
            .status(status)
            .content_type("text/html; charset=utf-8")
            .body(html);
        self.set_headers(&mut response);
        Ok(response)
    }

    /// Renders a page with the status of an error and its `Retry-After`. Fails with an error that has a page of its own: a server error,
    /// or a missing second factor.
    pub fn page_with_error(&self, error: ApiError, page: &impl Template) -> poem::Result<Response> {
        let status = error.problem_type().status;
        let needs_factor = matches!(error, ApiError::RecentSecondFactorRequired);
        if status.is_server_error() || needs_factor {
            return Err(error.into());
        }
        let page = self.page(status, page)?;
        Ok(with_retry_after(page, error.retry_after()))
    }

    /// Sets the security headers, `Vary` and the cookies.
    fn set_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            // With `no-referrer`, browsers send `Origin: null` with forms.
            (header::REFERRER_POLICY, "same-origin"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            // htmx gets a part of the page at the same URL.
            (header::VARY, "HX-Request, HX-Target, Cookie"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for cookie in &self.cookies {
            cookies::set(response, cookie);
        }
    }
}

/// Returns the texts in the language of the cookie, or else the first known language of `Accept-Language`.
fn texts(app: &App, request: &Request) -> &'static Texts {
    let accepted = || {
        let header = request.header(header::ACCEPT_LANGUAGE)?;
        header
            .split(',')
            .map(|tag| tag.trim().get(..2).unwrap_or_default().to_lowercase())
            .find(|tag| tag == "en" || tag == "ar")
    };
    let language = cookies::read(app, request, LANGUAGE).or_else(accepted);
    match language.as_deref() {
        Some("ar") => &ARABIC,
        _ => &ENGLISH,
    }
}
