//! The body of every error response: problem details (RFC 9457).

use std::fmt;

use chrono::TimeDelta;
use latchkey_shared::types::validation_error::Invalid;
use poem::{
    IntoResponse as _, Response,
    http::{HeaderValue, StatusCode, header},
    web::Json,
};
use poem_openapi::Object;
use serde::Serialize;

use crate::http::error::{
    ApiError, ClockError, RATE_LIMIT, RATE_REMAINING, RATE_RESET, RateLimitExceeded,
};

/// The media type of problem details (RFC 9457, 6.1).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Problem details (RFC 9457).
#[derive(Debug, Clone, Serialize, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct Problem {
    /// The type of the problem, for programs: a stable URI reference under `/problems/`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// The type of the problem in a few words, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, in one sentence.
    pub detail: String,
    /// The request id, as in the header `X-Request-Id` and in the log.
    pub instance: String,
    /// All missing and invalid fields of a request with invalid input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
    /// Of `second-factor-required`: proof of the password, for the second step of the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// Of `second-factor-required`: the factors that the account has, `totp` and `recovery_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors: Option<Vec<String>>,
}

/// The error of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub struct FieldError {
    /// The name of the field, as in the request.
    pub field: String,
    /// A stable code for programs, such as `required`, `blank` or `too_long`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl FieldError {
    /// Creates the error of a field.
    #[must_use]
    pub fn new(field: &str, invalid: Invalid) -> Self {
        Self {
            field: field.to_owned(),
            code: invalid.code.to_owned(),
            detail: invalid.detail,
        }
    }
}

impl ApiError {
    /// Returns the problem details of this error.
    #[must_use]
    pub fn into_problem(self, request_id: &str) -> Problem {
        let problem_type = self.problem_type();
        let detail = problem_type.detail;
        let mut challenge = None;
        let (detail, errors) = match self {
            Self::InvalidInput(errors) => (summarize(&errors), Some(errors)),
            Self::EmailTaken => {
                let error = FieldError::new("email", Invalid::new("taken", detail));
                (detail.to_owned(), Some(vec![error]))
            }
            Self::MalformedBody(detail) => (detail.into_owned(), None),
            Self::InvalidState(detail) if !detail.is_empty() => (detail.to_owned(), None),
            // Repeats the header for clients that show the body to people.
            Self::TooManyRequests(RateLimitExceeded { retry_after, .. }) => {
                let detail = format!("Too many attempts. Try again in {retry_after} seconds.");
                (detail, None)
            }
            Self::SecondFactorRequired(required) => {
                challenge = Some(required);
                (detail.to_owned(), None)
            }
            Self::InvalidSecondFactor(Some(clock)) => (clock.to_string(), None),
            _ => (detail.to_owned(), None),
        };
        let (challenge, factors) = challenge.map(|it| (it.token, it.factors)).unzip();
        Problem {
            kind: format!("/problems/{}", problem_type.name),
            title: problem_type.title.to_owned(),
            status: problem_type.status.as_u16(),
            detail,
            instance: request_id.to_owned(),
            errors,
            challenge,
            factors,
        }
    }

    /// Returns the response with the problem details of this error.
    #[must_use]
    pub fn into_problem_response(self, request_id: &str) -> Response {
        let status = self.problem_type().status;
        let dependency_failure = self.dependency_failure();
        let exceeded = match self {
            Self::TooManyRequests(exceeded) => Some(exceeded),
            _ => None,
        };
        let problem = self.into_problem(request_id);
        let mut response = Json(problem.clone()).with_status(status).into_response();
        // For `RequestLayer`, which adds the path of `PUBLIC_URL` to the type.
        response.set_data(problem);
        if let Some(failure) = dependency_failure {
            response.set_data(failure);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3, with the realm of the original.
            let challenge = HeaderValue::from_static("Bearer realm=\"api\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(RateLimitExceeded { retry_after, limit }) = exceeded {
            // RFC 6585, 4, and the usual header fields of rate-limited services.
            headers.insert(header::RETRY_AFTER, retry_after.into());
            headers.insert(RATE_LIMIT, limit.into());
            headers.insert(RATE_REMAINING, 0.into());
            headers.insert(RATE_RESET, retry_after.into());
        }
        response
    }
}

impl ClockError {
    /// Returns the size of the error in minutes, rounded up.
    #[must_use]
    pub fn minutes(self) -> u64 {
        self.0.num_seconds().unsigned_abs().div_ceil(60)
    }

    /// Returns whether the clock is behind.
    #[must_use]
    pub fn is_slow(self) -> bool {
        self.0 < TimeDelta::zero()
    }
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.minutes();
        let unit = if minutes == 1 { "minute" } else { "minutes" };
        let direction = if self.is_slow() { "slow" } else { "fast" };
        write!(
            f,
            "The clock of your device is about {minutes} {unit} {direction}. Set it to the network time, and wait for the next code."
        )
    }
}

/// Names the missing fields separately from the invalid ones.
fn summarize(errors: &[FieldError]) -> String {
    let (missing, wrong): (Vec<_>, Vec<_>) =
        errors.iter().partition(|error| error.code == "required");
    let sentences = [("Missing", missing), ("Wrong", wrong)];
    let sentences = sentences.iter().filter(|(_, errors)| !errors.is_empty());
    let sentences: Vec<_> = sentences
        .map(|(what, errors)| {
            let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
            format!("{what}: {}.", fields.join(", "))
        })
        .collect();
    sentences.join(" ")
}
