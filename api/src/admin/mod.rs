//! The dashboard at `/admin/`: pages made here on the server, which work without JavaScript and better with it.
//!
//! Each file is named after the page or the thing it holds. A handler's argument is its permission (`permit`), no form is
//! seen before its token was checked (`form`), and whatever changes anything is in `acts` and `edit`, which the calls under
//! `/api/admin/` use, too.

use askama::Template;
use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Request, Response, Route, get,
    http::{HeaderValue, StatusCode, header},
    middleware::CookieJarManager,
    post,
};

use crate::admin::dashboard::{
    assets, context, csrf,
    pages::{
        account, audit_log, lockouts, mails, overview, resets, setup, sign_in, user,
        users::{self, csv},
    },
    session,
};
use crate::{
    app_state::App,
    http::{error::ApiError, request_context::RequestId},
};

pub mod actions;
pub mod api;
mod audit_event;
pub mod dashboard;
pub mod permissions;

/// All pages, as they are below `/admin`.
pub fn pages() -> impl Endpoint<Output = Response> {
    Route::new()
        .at("/", get(overview::show))
        .at("/login", get(sign_in::show).post(sign_in::enter))
        .at("/logout", post(sign_in::leave))
        .at("/preferences", post(sign_in::prefer))
        .at("/setup/:token", get(setup::show).post(setup::make))
        .at(
            "/account",
            get(account::show).post(account::change_password),
        )
        .at("/users", get(users::show))
        .at(
            "/users/bulk",
            get(users::redirect_to_list).post(users::act_on_chosen),
        )
        .at("/users/export", get(csv::file))
        .at("/users/:id<\\d+>", get(user::show).post(user::save))
        .at("/users/:id<\\d+>/sessions", post(user::end_session))
        .at("/resets", get(resets::show))
        .at("/mails", get(mails::list))
        .at("/mails/:id", get(mails::show).post(mails::act))
        .at("/limits", get(lockouts::show))
        .at("/limits/release", post(lockouts::release))
        .at("/audit", get(audit_log::show))
        .at(
            "/audit/verify",
            get(audit_log::redirect_to_list).post(audit_log::verify),
        )
        .at("/assets/:name", get(assets::asset))
        .around(csrf::check)
        .around(errors)
        .with(CookieJarManager::new())
}

#[derive(Template)]
#[template(path = "admin/error.html")]
struct ErrorPage {
    v: context::View,
    title: &'static str,
    request: String,
}

/// Makes pages of errors.
async fn errors(endpoint: impl Endpoint, request: Request) -> poem::Result<Response> {
    let app = request
        .data::<App>()
        .cloned()
        .ok_or_else(|| ApiError::Internal("no state".to_owned()))?;
    let view = context::View::of(&app, &request);
    let id = request.data::<RequestId>().cloned();
    let is_htmx = request.header("hx-request").is_some();
    let error = match endpoint.call(request).await {
        Ok(output) => return Ok(output.into_response()),
        Err(error) => error,
    };
    if error.is::<session::LoginRedirect>() {
        return Ok(error.into_response());
    }
    let pattern = error.data::<poem::PathPattern>().cloned();
    let error = ApiError::from_poem(error);
    let kind = error.kind();
    let page = ErrorPage {
        title: view.t.error(&error),
        request: id.map_or(String::new(), |id| id.as_str().to_owned()),
        v: view.clone(),
    };
    let mut response = view.page(kind.status, &page)?;
    let headers = response.headers_mut();
    if is_htmx {
        // The whole page, wherever a part of one was asked for.
        headers.insert("hx-retarget", HeaderValue::from_static("body"));
        headers.insert("hx-reswap", HeaderValue::from_static("innerHTML"));
    }
    match kind.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        _ => {}
    }
    if let Some(pattern) = pattern {
        response.set_data(pattern);
    }
    Ok(context::with_wait(response, error.retry_after()))
}
