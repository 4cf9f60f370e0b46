//! Conversions into [`ApiError`] from the errors of the framework, the database and Redis.

use latchkey_shared::{
    database::{self, Outage},
    dependency::Refusal,
    models::{role::WriteRoleError, user::WriteUserError},
    redis::one_time_code::CodeError,
    types::validation_error::Invalid,
};
use poem::{
    error::{CorsError, MethodNotAllowedError, NotFoundError, ReadBodyError},
    http::StatusCode,
};
use poem_openapi::error::{ParseParamError, ParsePathError};
use sea_orm::DbErr;

use crate::http::error::{ApiError, DependencyFailure, ProblemType};

impl ApiError {
    /// Converts an error of the framework or of a handler. Logs server errors; they are logged nowhere else.
    #[must_use]
    pub fn from_poem(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) => {
                let ProblemType { name, status, .. } = error.problem_type();
                if let Some(failure) = error.dependency_failure() {
                    // The health check logs the outage once, with its remedy.
                    tracing::debug!(error = failure.text, "Request failed");
                } else if status.is_server_error() {
                    tracing::error!(%error, problem = name, "Request failed");
                }
                return error;
            }
            Err(other) => other,
        };
        if error.is::<NotFoundError>() || error.is::<ParsePathError>() {
            Self::NotFound
        } else if error.is::<MethodNotAllowedError>() {
            Self::MethodNotAllowed
        } else if error.is::<CorsError>() {
            Self::OriginNotAllowed
        } else if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref::<ReadBodyError>() {
            Self::BodyTooLarge
        } else if let Some(ParseParamError { name, .. }) = error.downcast_ref() {
            // The framework's reasons name Rust types.
            let reason = "Not a valid value of this parameter.";
            Self::invalid_field(name, Invalid::new("invalid", reason))
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
                tracing::error!(%error, "Request failed");
                Self::Internal(String::new())
            }
        }
    }
}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        let text = database::describe(&error);
        let Some(outage) = Outage::of(&error) else {
            return Self::Internal(text);
        };
        let remedy = outage.remedy();
        let failure = DependencyFailure { text, remedy };
        // Without a connection nothing was written.
        let has_connection = !matches!(error, DbErr::ConnectionAcquire(_));
        if has_connection && outage.leaves_commit_undecided() {
            Self::Undecided(failure)
        } else {
            Self::Unavailable(failure)
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

impl From<WriteRoleError> for ApiError {
    fn from(error: WriteRoleError) -> Self {
        match error {
            WriteRoleError::NameTaken => {
                let detail = "Another role has this name.";
                Self::invalid_field("name", Invalid::new("name_taken", detail))
            }
            WriteRoleError::Database(error) => error.into(),
        }
    }
}

impl From<Refusal> for DependencyFailure {
    fn from(refusal: Refusal) -> Self {
        Self {
            text: refusal.to_string(),
            remedy: refusal.diagnosis.remedy,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.into())
    }
}

impl From<fred::error::Error> for ApiError {
    fn from(error: fred::error::Error) -> Self {
        Refusal::from(&error).into()
    }
}

impl From<CodeError> for ApiError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Redis(error) => error.into(),
            CodeError::Seal(_) | CodeError::Expired | CodeError::BatchClosed(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}
