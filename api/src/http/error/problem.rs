//! The body of every error: RFC 9457 problem details.

use latchkey_shared::types::validation_error::Invalid;
use poem::{
    IntoResponse as _, Response,
    http::{HeaderValue, header},
};
use poem_openapi::Object;
use serde::Serialize;

/// The media type of problem details (RFC 9457, 6.1).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What went wrong, by RFC 9457.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct Problem {
    /// Which kind of problem: a stable URI reference under `/problems/`, for programs.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, in one sentence.
    pub detail: String,
    /// The id of the request, as in the header `X-Request-Id` and in the log.
    pub instance: String,
    /// For bad input: every bad field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
}

/// One reason against one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub struct FieldError {
    /// The field's name, as the request spells it.
    pub field: String,
    /// A stable word for programs, such as `required`, `blank`, `too_long`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl FieldError {
    /// A reason against a field.
    #[must_use]
    pub fn new(field: &str, invalid: Invalid) -> Self {
        Self {
            field: field.to_owned(),
            code: invalid.code.to_owned(),
            detail: invalid.detail,
        }
    }
}

impl Problem {
    /// The response that carries this problem.
    #[must_use]
    pub fn into_response(self) -> Response {
        let status = poem::http::StatusCode::from_u16(self.status).unwrap_or_default();
        let mut response = poem::web::Json(self).with_status(status).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        response
    }
}
