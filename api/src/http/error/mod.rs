//! All that an HTTP call can fail with, and the way from there to a problem body.

pub mod problem;
pub mod responses;

use std::borrow::Cow;

use latchkey_shared::{
    database::{self, Outage},
    dependency::Refusal,
    models::user::WriteUserError,
    redis::one_time_code::CodeError,
    types::validation_error::Invalid,
};
use poem::{
    error::{CorsError, MethodNotAllowedError, NotFoundError, ReadBodyError, ResponseError},
    http::{HeaderName, StatusCode, header},
};
use poem_openapi::error::{ParseParamError, ParsePathError};
use sea_orm::DbErr;

use crate::http::error::problem::{FieldError, Problem};

/// How often was too often, in the answer to what came too often.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
/// How often is left: not at all.
pub const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// In how many seconds it is worth trying again.
pub const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The details of a rate-limited request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitExceeded {
    /// When to come again, in seconds.
    pub retry_after: u64,
    /// How many are let through, of what was exceeded.
    pub limit: u32,
}

/// The text of a failed dependency's error with its remedy, as data of the response. It is for the log, not for clients.
#[derive(Clone, Debug)]
pub struct DependencyFailure(pub String);

/// Why a call failed. Each variant has its status and its problem type, a stable name under `/problems/`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400 `invalid-input`: fields are missing or wrong; all of them are named.
    #[error("invalid input")]
    InvalidInput(Vec<FieldError>),
    /// 400 `malformed-body`: the body is not what its Content-Type says.
    #[error("{0}")]
    MalformedBody(Cow<'static, str>),
    /// 400 `invalid-host`: not exactly one valid `Host` (RFC 9112, 3.2).
    #[error("no valid Host")]
    InvalidHost,
    /// 400 `invalid-otp`: wrong, expired, used up and unknown alike.
    #[error("the code is not valid")]
    InvalidOtp,
    /// 400 `invalid-reset-token`: unknown, expired, not checked and used alike.
    #[error("the reset token is not valid")]
    InvalidResetToken,
    /// 401 `not-authenticated`: no living access token.
    #[error("no valid access token")]
    NotAuthenticated,
    /// 401 `invalid-credentials`: unknown address and wrong password alike.
    #[error("wrong e-mail address or password")]
    InvalidCredentials,
    /// 401 `invalid-refresh-token`: not a living refresh token.
    #[error("no valid refresh token")]
    InvalidRefreshToken,
    /// 400 `wrong-password`: not the current password, at its change.
    #[error("the current password is wrong")]
    WrongPassword,
    /// 403 `not-activated`: who it is is known, but nobody has let the account in.
    #[error("the account is not activated")]
    NotActivated,
    /// 403 `not-permitted`: an administrator without the right, or nobody of the staff at all.
    #[error("not permitted")]
    NotPermitted,
    /// 403 `form-expired`: a form of the dashboard without the token of its browser.
    #[error("a form without its token")]
    FormExpired,
    /// 404 `not-found`
    #[error("not found")]
    NotFound,
    /// 405 `method-not-allowed`
    #[error("method not allowed")]
    MethodNotAllowed,
    /// 403 `origin-not-allowed`: a web page of an origin that is not in `CORS_ORIGINS`.
    #[error("origin not allowed")]
    OriginNotAllowed,
    /// 409 `email-taken`
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// 409 `edit-conflict`: the row has changed since the client read it.
    #[error("edit conflict")]
    EditConflict,
    /// 409 `own-account`: administrators cannot deactivate or delete their own account or change its permissions.
    #[error("own account")]
    OwnAccount,
    /// 409 `last-superuser`: at least one active superuser must remain.
    #[error("the last superuser")]
    LastSuperuser,
    /// 409 `invalid-state`: the action is not possible in the current state.
    #[error("invalid state")]
    InvalidState,
    /// 408 `body-too-slow`
    #[error("the body took too long")]
    BodyTooSlow,
    /// 413 `body-too-large`
    #[error("the body is too large")]
    BodyTooLarge,
    /// 414 `uri-too-long`
    #[error("the URI is too long")]
    UriTooLong,
    /// 431 `header-too-large`: too many header fields, or too large ones.
    #[error("the header is too large")]
    HeaderTooLarge,
    /// 415 `unsupported-media-type`
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// 429 `too-many-requests`
    #[error("too many requests")]
    TooManyRequests(RateLimitExceeded),
    /// 503 `busy`: more waits than can be done in time, such as passwords to be checked, or bodies to be read.
    #[error("too much waits to be done")]
    Busy,
    /// 503 `unavailable`: the database, Redis or `MEDIA_DIR` does not do its work; the text says what an operator does about it.
    #[error("a dependency failed: {0}")]
    Unavailable(String),
    /// 503 `unavailable`: the database went away in the middle of a call. Of a commit that was not answered nobody knows
    /// whether it counts.
    #[error("a dependency failed: {0}")]
    Undecided(String),
    /// 500 `internal`
    #[error("{0}")]
    Internal(String),
}

/// A problem type: its name, its status, its title and the sentence that goes with it.
pub struct ProblemType {
    /// The last part of its URI.
    pub name: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// In a few words.
    pub title: &'static str,
    /// In a sentence.
    pub detail: &'static str,
}

/// All problem types, for `/problems/{name}` and the documentation.
#[rustfmt::skip]
pub const PROBLEM_TYPES: &[ProblemType] = &[
    kind("invalid-input", 400, "Invalid input", "One or more fields are missing or wrong; `errors` names each."),
    kind("malformed-body", 400, "Malformed body", "The body is not what its Content-Type says."),
    kind("invalid-host", 400, "Invalid Host", "A request needs exactly one `Host` header, with a host and at most a port."),
    kind("invalid-otp", 400, "Invalid code", "The code is wrong, expired or used up. Ask for a new one."),
    kind("invalid-reset-token", 400, "Invalid reset token", "The token is unknown, expired or used, or its code was not checked. Start again."),
    kind("not-authenticated", 401, "Not authenticated", "Send a living access token as `Authorization: Bearer …`."),
    kind("invalid-credentials", 401, "Invalid credentials", "The e-mail address or the password is wrong."),
    kind("invalid-refresh-token", 401, "Invalid refresh token", "The refresh token is not valid, or its session has ended. Log in again."),
    kind("wrong-password", 400, "Wrong password", "The current password is not right."),
    kind("not-activated", 403, "Account not activated", "The account waits for its activation."),
    kind("origin-not-allowed", 403, "Origin not allowed", "Pages of this web origin may not call this service."),
    kind("not-permitted", 403, "Not permitted", "This account may not do this."),
    kind("form-expired", 403, "Form expired", "The form is not of this browser's session any more. Go back, load the page anew and try again."),
    kind("not-found", 404, "Not found", "There is nothing here."),
    kind("method-not-allowed", 405, "Method not allowed", "This address does not take this method."),
    kind("email-taken", 409, "E-mail address taken", "Another account has this e-mail address."),
    kind("edit-conflict", 409, "Edit conflict", "The account has changed since you read it. Read it again and repeat the change."),
    kind("own-account", 409, "Own account", "You cannot deactivate or delete your own account or change its permissions."),
    kind("last-superuser", 409, "Last superuser", "This is the last superuser. Make another account a superuser first."),
    kind("invalid-state", 409, "Invalid state", "This action is not possible in the current state."),
    kind("body-too-slow", 408, "Body too slow", "The body did not arrive in time."),
    kind("body-too-large", 413, "Body too large", "The body is larger than this endpoint takes."),
    kind("uri-too-long", 414, "URI too long", "The path and query are longer than 8 KiB."),
    kind("unsupported-media-type", 415, "Unsupported media type", "Send application/json, application/x-www-form-urlencoded or multipart/form-data."),
    kind("too-many-requests", 429, "Too many requests", "Too many tries. `Retry-After` says how many seconds to wait."),
    kind("header-too-large", 431, "Header too large", "The header fields are more than 64, or larger than 16 KiB."),
    kind("internal", 500, "Internal error", "Something went wrong here. The request id helps to find out what."),
    kind("busy", 503, "Busy", "Too much is waiting to be done at the moment. Try again shortly."),
    kind("unavailable", 503, "Unavailable", "A part of the service does not answer at the moment. Try again shortly."),
];

const fn kind(
    name: &'static str,
    status: u16,
    title: &'static str,
    detail: &'static str,
) -> ProblemType {
    let status = match status {
        400 => StatusCode::BAD_REQUEST,
        401 => StatusCode::UNAUTHORIZED,
        403 => StatusCode::FORBIDDEN,
        404 => StatusCode::NOT_FOUND,
        405 => StatusCode::METHOD_NOT_ALLOWED,
        408 => StatusCode::REQUEST_TIMEOUT,
        409 => StatusCode::CONFLICT,
        413 => StatusCode::PAYLOAD_TOO_LARGE,
        414 => StatusCode::URI_TOO_LONG,
        415 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        429 => StatusCode::TOO_MANY_REQUESTS,
        431 => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        503 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    ProblemType {
        name,
        status,
        title,
        detail,
    }
}

impl ApiError {
    /// One field that was bad.
    #[must_use]
    pub fn invalid_field(field: &str, invalid: Invalid) -> Self {
        Self::InvalidInput(vec![FieldError::new(field, invalid)])
    }

    /// The last part of its problem type.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidInput(_) => "invalid-input",
            Self::MalformedBody(_) => "malformed-body",
            Self::InvalidHost => "invalid-host",
            Self::InvalidOtp => "invalid-otp",
            Self::InvalidResetToken => "invalid-reset-token",
            Self::NotAuthenticated => "not-authenticated",
            Self::InvalidCredentials => "invalid-credentials",
            Self::InvalidRefreshToken => "invalid-refresh-token",
            Self::WrongPassword => "wrong-password",
            Self::NotActivated => "not-activated",
            Self::OriginNotAllowed => "origin-not-allowed",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::EmailTaken => "email-taken",
            Self::NotPermitted => "not-permitted",
            Self::FormExpired => "form-expired",
            Self::EditConflict => "edit-conflict",
            Self::OwnAccount => "own-account",
            Self::LastSuperuser => "last-superuser",
            Self::InvalidState => "invalid-state",
            Self::BodyTooSlow => "body-too-slow",
            Self::BodyTooLarge => "body-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::HeaderTooLarge => "header-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::TooManyRequests(_) => "too-many-requests",
            Self::Internal(_) => "internal",
            Self::Busy => "busy",
            Self::Unavailable(_) | Self::Undecided(_) => "unavailable",
        }
    }

    /// How many seconds to wait, where too many tries were made.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests(too_many) => Some(too_many.retry_after),
            _ => None,
        }
    }

    /// Its problem type.
    ///
    /// # Panics
    /// Never: every error has its kind.
    #[must_use]
    pub fn kind(&self) -> &'static ProblemType {
        let name = self.name();
        PROBLEM_TYPES
            .iter()
            .find(|kind| kind.name == name)
            .expect("every error has its kind")
    }

    /// Whatever the framework or a handler failed with, as one of ours. Logs what is our own fault; nothing else does.
    #[must_use]
    pub fn from_poem(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => {
                if let Some(DependencyFailure(error)) = ours.dependency_failure() {
                    // The health check logs the outage once, with its remedy.
                    tracing::debug!(error, "Request failed");
                } else if ours.kind().status.is_server_error() {
                    tracing::error!(error = %ours, problem = ours.name(), "A request failed.");
                }
                return ours;
            }
            Err(other) => other,
        };
        if error.is::<NotFoundError>() {
            Self::NotFound
        } else if error.is::<MethodNotAllowedError>() {
            Self::MethodNotAllowed
        } else if error.is::<CorsError>() {
            Self::OriginNotAllowed
        } else if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref::<ReadBodyError>() {
            Self::BodyTooLarge
        } else if let Some(ParseParamError { name, .. }) = error.downcast_ref() {
            // The framework's reasons speak of Rust's types.
            let reason = "Not a value that this parameter takes.";
            Self::invalid_field(name, Invalid::new("invalid", reason))
        } else if error.is::<ParsePathError>() {
            Self::NotFound
        } else {
            Self::from_status(&error)
        }
    }

    fn from_status(error: &poem::Error) -> Self {
        match error.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::NotAuthenticated,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => {
                Self::MalformedBody("The request could not be read.".into())
            }
            _ => {
                tracing::error!(%error, "A request failed.");
                Self::Internal(String::new())
            }
        }
    }

    /// Returns the failure of a dependency behind this error.
    #[must_use]
    pub fn dependency_failure(&self) -> Option<DependencyFailure> {
        match self {
            Self::Unavailable(error) | Self::Undecided(error) => {
                Some(DependencyFailure(error.clone()))
            }
            _ => None,
        }
    }

    /// Whether nothing of what was asked for was done, so that what was made for it is nobody's.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        !matches!(self, Self::Undecided(_))
    }

    /// The body of the answer, with the id of the request.
    #[must_use]
    pub fn into_problem(self, request_id: &str) -> Problem {
        let kind = self.kind();
        let (detail, errors) = match self {
            Self::InvalidInput(errors) => (summary(&errors), Some(errors)),
            Self::EmailTaken => (
                kind.detail.to_owned(),
                Some(vec![FieldError::new(
                    "email",
                    Invalid::new("taken", kind.detail),
                )]),
            ),
            Self::MalformedBody(detail) => (detail.into_owned(), None),
            // As the header, for those who show people the body.
            Self::TooManyRequests(RateLimitExceeded { retry_after, .. }) => (
                format!("Too many tries. The next is possible in {retry_after} s."),
                None,
            ),
            _ => (kind.detail.to_owned(), None),
        };
        Problem {
            kind: format!("/problems/{}", kind.name),
            title: kind.title.to_owned(),
            status: kind.status.as_u16(),
            detail,
            instance: request_id.to_owned(),
            errors,
        }
    }

    /// The answer, with the id of the request.
    #[must_use]
    pub fn into_problem_response(self, request_id: &str) -> poem::Response {
        let kind = self.kind();
        let dependency_failure = self.dependency_failure();
        let too_many = if let Self::TooManyRequests(too_many) = self {
            Some(too_many)
        } else {
            None
        };
        let problem = self.into_problem(request_id);
        let mut response = problem.clone().into_response();
        // For the outermost layer, which puts the path of `PUBLIC_URL` in front of its type.
        response.set_data(problem);
        if let Some(failure) = dependency_failure {
            response.set_data(failure);
        }
        let headers = response.headers_mut();
        if kind.status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3; the realm as the original's.
            headers.insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Bearer realm=\"api\""),
            );
        }
        if let Some(RateLimitExceeded { retry_after, limit }) = too_many {
            // RFC 6585, 4, and the header fields that clients of rate-limited services know.
            headers.insert(header::RETRY_AFTER, retry_after.into());
            headers.insert(RATE_LIMIT, limit.into());
            headers.insert(RATE_REMAINING, 0.into());
            headers.insert(RATE_RESET, retry_after.into());
        }
        response
    }
}

/// Names the fields that are missing apart from those that are there and wrong.
fn summary(errors: &[FieldError]) -> String {
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

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.kind().status
    }
}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        let words = database::describe(&error);
        match Outage::of(&error) {
            None => Self::Internal(words),
            // Without a connection nothing was written.
            Some(_) if matches!(error, DbErr::ConnectionAcquire(_)) => Self::Unavailable(words),
            Some(outage) if outage.leaves_commit_undecided() => Self::Undecided(words),
            Some(_) => Self::Unavailable(words),
        }
    }
}

impl From<WriteUserError> for ApiError {
    fn from(error: WriteUserError) -> Self {
        match error {
            WriteUserError::EmailTaken => Self::EmailTaken,
            WriteUserError::Database(error) => error.into(),
        }
    }
}

impl From<CodeError> for ApiError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Redis(error) => Self::Unavailable(Refusal::from(&error).to_string()),
            CodeError::Seal | CodeError::Expired | CodeError::BatchClosed(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}
