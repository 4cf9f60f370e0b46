//! Error pages: renders errors of the dashboard as HTML instead of problem documents.

use askama::Template;
use poem::{
    Endpoint, IntoResponse as _, PathPattern, Request, Response,
    error::ResponseError as _,
    http::{HeaderValue, StatusCode, header},
};

use crate::admin::dashboard::{
    context::View,
    redirect::{LoginRedirect, with_retry_after},
};
use crate::{
    app_state::App,
    http::{error::ApiError, request_context::RequestId},
};

#[derive(Template)]
#[template(path = "admin/error.html")]
struct ErrorPage {
    v: View,
    title: &'static str,
    request: String,
}

/// Middleware that turns an error into an HTML page.
pub async fn render_errors(endpoint: impl Endpoint, request: Request) -> poem::Result<Response> {
    let app = App::of(&request)?.clone();
    let view = View::of(&app, &request);
    let id = request.data::<RequestId>().cloned();
    let is_htmx = request.header("hx-request").is_some();
    let back = LoginRedirect::back_to(&app, &request);
    let error = match endpoint.call(request).await {
        Ok(output) => return Ok(output.into_response()),
        Err(error) if error.is::<LoginRedirect>() => return Ok(error.into_response()),
        Err(error) => error,
    };
    let pattern = error.data::<PathPattern>().cloned();
    let error = ApiError::from_poem(error);
    if let Some(redirect) = back.for_second_factor(&error) {
        return Ok(redirect.as_response());
    }
    let status = error.problem_type().status;
    let page = ErrorPage {
        title: view.t.error(&error),
        request: id.map_or(String::new(), |id| id.as_str().to_owned()),
        v: view.clone(),
    };
    let mut response = view.page(status, &page)?;
    let headers = response.headers_mut();
    if is_htmx {
        // Replaces the whole page, although the request targets a part of it.
        headers.insert("hx-retarget", HeaderValue::from_static("body"));
        headers.insert("hx-reswap", HeaderValue::from_static("innerHTML"));
    }
    match status {
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
    if let Some(failure) = error.dependency_failure() {
        response.set_data(failure);
    }
    Ok(with_retry_after(response, error.retry_after()))
}
