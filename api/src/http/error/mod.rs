//! The errors of HTTP calls: one enum, one table of problem types, and their responses.

mod convert;
pub mod problem;
pub mod responses;

use std::{borrow::Cow, error::Error, fmt};

use chrono::TimeDelta;
use latchkey_shared::types::validation_error::Invalid;
use poem::{
    error::ResponseError,
    http::{HeaderName, StatusCode},
};
use sea_orm::{EnumIter, Iterable as _};

use crate::http::error::problem::FieldError;

/// The exceeded limit of a rate-limited request.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
/// The number of requests that the limit still allows: always 0.
pub const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// The number of seconds until the next request is allowed.
pub const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The details of a rate-limited request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimitExceeded {
    /// Seconds until the next request is allowed.
    pub retry_after: u64,
    /// The number of requests that the exceeded limit allows.
    pub limit: u32,
}

/// What a client needs for the second step of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The token of the second step.
    pub token: String,
    /// The factors that the account has: `totp` and `recovery_code`.
    pub factors: Vec<String>,
}

/// How far the clock of a device is ahead. Negative if it is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockError(pub TimeDelta);

/// The error of a failed dependency, as data of the response. It is for the log, not for clients.
#[derive(Clone, Debug, Default)]
pub struct DependencyFailure {
    /// The text of the error with its remedy.
    pub text: String,
    /// The remedy, which errors with the same reason share.
    pub remedy: &'static str,
}

/// The reason why a call failed. [`ApiError::problem_type`] describes each variant.
#[derive(Debug, EnumIter)]
pub enum ApiError {
    /// Names all missing and invalid fields.
    InvalidInput(Vec<FieldError>),
    /// The text replaces the detail of the problem type.
    MalformedBody(Cow<'static, str>),
    /// RFC 9112, 3.2.
    InvalidHost,
    /// A wrong, expired, used or unknown code: the client cannot tell which.
    InvalidOtp,
    /// An unknown, expired, unchecked or used reset token: the client cannot tell which.
    InvalidResetToken,
    /// No valid access token.
    NotAuthenticated,
    /// An unknown email or a wrong password: the client cannot tell which.
    InvalidCredentials,
    /// The password is right, but a login to the account also needs a second factor.
    SecondFactorRequired(Challenge),
    /// An unknown, expired or used challenge of a login, or its password was changed.
    InvalidChallenge,
    /// A wrong second factor, or one that was used before.
    InvalidSecondFactor(Option<ClockError>),
    /// The session has not proved a second factor recently.
    RecentSecondFactorRequired,
    /// `ADMIN_SECOND_FACTOR=required`, and the staff account has no second factor.
    SecondFactorEnrolmentRequired,
    /// The account has no second factor.
    NoSecondFactor,
    /// The account has an authenticator app already.
    TotpExists,
    /// No secret of an authenticator app waits for its first code.
    NoPendingTotp,
    /// No valid refresh token.
    InvalidRefreshToken,
    /// A wrong current password at a password change.
    WrongPassword,
    /// The user is authenticated, but the account is not activated.
    NotActivated,
    /// The user lacks a permission, or is no staff member.
    NotPermitted,
    /// A dashboard form without the CSRF token of its session.
    FormExpired,
    /// No such route or row.
    NotFound,
    /// No such method of the route.
    MethodNotAllowed,
    /// A cross-origin request from an origin that is not in `CORS_ORIGINS`.
    OriginNotAllowed,
    /// Another account has the email.
    EmailTaken,
    /// The row has changed since the client read it.
    EditConflict,
    /// Administrators cannot deactivate or delete their own account or change its permissions.
    OwnAccount,
    /// At least one active superuser must remain.
    LastSuperuser,
    /// The action is not possible in the current state. The text, unless it is empty, replaces the detail of the problem type: it says what
    /// to do next.
    InvalidState(&'static str),
    /// The body did not arrive before the timeout.
    BodyTooSlow,
    /// The body exceeds the limit of its endpoint.
    BodyTooLarge,
    /// RFC 9110, 15.5.15.
    UriTooLong,
    /// Too many or too large header fields (RFC 6585, 5).
    HeaderTooLarge,
    /// The body's media type is not supported.
    UnsupportedMediaType,
    /// The request is rate limited.
    TooManyRequests(RateLimitExceeded),
    /// A queue is full, such as that of passwords to hash or of bodies to read.
    Busy,
    /// The database, Redis or `MEDIA_DIR` failed.
    Unavailable(DependencyFailure),
    /// The connection to the database broke during a commit, so that its outcome is unknown.
    Undecided(DependencyFailure),
    /// An internal error, for the log.
    Internal(String),
}

/// A type of problem (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// The last segment of its URI, `/problems/{name}`.
    pub name: &'static str,
    /// The HTTP status of the response.
    pub status: StatusCode,
    /// A few words for people.
    pub title: &'static str,
    /// A sentence for people.
    pub detail: &'static str,
}

impl ProblemType {
    /// Returns all problem types.
    pub fn all() -> impl Iterator<Item = Self> {
        ApiError::iter().map(|error| error.problem_type())
    }
}

impl ApiError {
    /// Returns the problem type of this error: name, status, title and detail.
    #[must_use]
    pub fn problem_type(&self) -> ProblemType {
        #[rustfmt::skip]
        let (name, status, title, detail) = match self {
            Self::InvalidInput(_) => ("invalid-input", StatusCode::BAD_REQUEST, "Invalid input", "One or more fields are missing or invalid. `errors` names each of them."),
            Self::MalformedBody(_) => ("malformed-body", StatusCode::BAD_REQUEST, "Malformed body", "The body does not match its Content-Type."),
            Self::InvalidHost => ("invalid-host", StatusCode::BAD_REQUEST, "Invalid Host", "A request needs exactly one `Host` header with a host and an optional port."),
            Self::InvalidOtp => ("invalid-otp", StatusCode::BAD_REQUEST, "Invalid code", "The code is wrong, expired or used. Request a new one."),
            Self::InvalidResetToken => ("invalid-reset-token", StatusCode::BAD_REQUEST, "Invalid reset token", "The token is unknown, expired or used, or its code was not checked. Start again."),
            Self::WrongPassword => ("wrong-password", StatusCode::BAD_REQUEST, "Wrong password", "The current password is wrong."),
            Self::NotAuthenticated => ("not-authenticated", StatusCode::UNAUTHORIZED, "Not authenticated", "Send a valid access token as `Authorization: Bearer …`."),
            Self::InvalidCredentials => ("invalid-credentials", StatusCode::UNAUTHORIZED, "Invalid credentials", "The email or the password is wrong."),
            Self::SecondFactorRequired(_) => ("second-factor-required", StatusCode::UNAUTHORIZED, "Second factor required", "The password is right. Send the `challenge` with a second factor to `/auth/second_factor/` within 5 minutes."),
            Self::InvalidChallenge => ("invalid-challenge", StatusCode::UNAUTHORIZED, "Invalid challenge", "The challenge is unknown, expired or used. Log in again."),
            Self::InvalidSecondFactor(_) => ("invalid-second-factor", StatusCode::BAD_REQUEST, "Invalid second factor", "The code is wrong, or was used before. Wait for the next one."),
            Self::RecentSecondFactorRequired => ("recent-second-factor-required", StatusCode::FORBIDDEN, "Recent second factor required", "Send a second factor to `/auth/second_factor/verify/`, and repeat the request within 5 minutes."),
            Self::SecondFactorEnrolmentRequired => ("second-factor-enrolment-required", StatusCode::FORBIDDEN, "Second factor missing", "Staff accounts need a second factor. Add one by `/auth/totp/` or in the dashboard."),
            Self::NoSecondFactor => ("no-second-factor", StatusCode::CONFLICT, "No second factor", "The account has no second factor. Add one by `/auth/totp/`."),
            Self::TotpExists => ("totp-exists", StatusCode::CONFLICT, "Authenticator app exists", "The account has an authenticator app already. Remove it first."),
            Self::NoPendingTotp => ("no-pending-totp", StatusCode::CONFLICT, "No new authenticator app", "No authenticator app waits for its first code. Create a new secret by `/auth/totp/`."),
            Self::InvalidRefreshToken => ("invalid-refresh-token", StatusCode::UNAUTHORIZED, "Invalid refresh token", "The refresh token is invalid, or its session has ended. Log in again."),
            Self::NotActivated => ("not-activated", StatusCode::FORBIDDEN, "Account not activated", "The account is not activated yet."),
            Self::OriginNotAllowed => ("origin-not-allowed", StatusCode::FORBIDDEN, "Origin not allowed", "Pages of this origin cannot call this service."),
            Self::NotPermitted => ("not-permitted", StatusCode::FORBIDDEN, "Not permitted", "Your account lacks the permission for this."),
            Self::FormExpired => ("form-expired", StatusCode::FORBIDDEN, "Form expired", "The form belongs to an earlier session. Go back, reload the page and try again."),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found", "The resource does not exist."),
            Self::MethodNotAllowed => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "This path does not support this method."),
            Self::BodyTooSlow => ("body-too-slow", StatusCode::REQUEST_TIMEOUT, "Body too slow", "The body did not arrive in time."),
            Self::EmailTaken => ("email-taken", StatusCode::CONFLICT, "Email taken", "Another account has this email."),
            Self::EditConflict => ("edit-conflict", StatusCode::CONFLICT, "Edit conflict", "The account has changed since you read it. Read it again and repeat the change."),
            Self::OwnAccount => ("own-account", StatusCode::CONFLICT, "Own account", "You cannot deactivate or delete your own account or change its permissions."),
            Self::LastSuperuser => ("last-superuser", StatusCode::CONFLICT, "Last superuser", "This is the last superuser. Make another account a superuser first."),
            Self::InvalidState(_) => ("invalid-state", StatusCode::CONFLICT, "Invalid state", "This action is not possible in the current state. Read the state again."),
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "The body exceeds the limit of this endpoint."),
            Self::UriTooLong => ("uri-too-long", StatusCode::URI_TOO_LONG, "URI too long", "The path and query exceed 8 KiB."),
            Self::UnsupportedMediaType => ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "Send application/json, application/x-www-form-urlencoded or multipart/form-data."),
            Self::TooManyRequests(_) => ("too-many-requests", StatusCode::TOO_MANY_REQUESTS, "Too many requests", "Too many attempts. `Retry-After` contains the number of seconds to wait."),
            Self::HeaderTooLarge => ("header-too-large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Header too large", "The request has more than 64 header fields or more than 16 KiB of them."),
            Self::Internal(_) => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "An internal error occurred. Give the request id to the operator."),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "Busy", "The service is overloaded. Try again shortly."),
            Self::Unavailable(_) | Self::Undecided(_) => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "A part of the service does not respond. `Retry-After` contains the number of seconds to wait."),
        };
        ProblemType {
            name,
            status,
            title,
            detail,
        }
    }

    /// Returns the error of one invalid field.
    #[must_use]
    pub fn invalid_field(field: &str, invalid: Invalid) -> Self {
        Self::InvalidInput(vec![FieldError::new(field, invalid)])
    }

    /// Returns the number of seconds that a rate-limited client has to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests(exceeded) => Some(exceeded.retry_after),
            _ => None,
        }
    }

    /// Returns the failure of a dependency behind this error.
    #[must_use]
    pub fn dependency_failure(&self) -> Option<DependencyFailure> {
        match self {
            Self::Unavailable(failure) | Self::Undecided(failure) => Some(failure.clone()),
            _ => None,
        }
    }

    /// Whether the transaction was certainly rolled back, so that files written for it can be removed.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        !matches!(self, Self::Undecided(_))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedBody(text) => f.write_str(text),
            Self::Internal(text) => f.write_str(text),
            Self::Unavailable(failure) | Self::Undecided(failure) => {
                write!(f, "a dependency failed: {}", failure.text)
            }
            _ => f.write_str(self.problem_type().title),
        }
    }
}

impl Error for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.problem_type().status
    }
}
