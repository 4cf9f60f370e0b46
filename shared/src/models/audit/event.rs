//! Events of the audit log.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::models::audit::{Details, Model, SUBJECT_LENGTH};

/// The kind of an event, named by OWASP's logging vocabulary or in its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A login succeeded.
    LoginSuccess,
    /// A login failed.
    LoginFail,
    /// The right one-time code was entered.
    CodeSuccess,
    /// A wrong one-time code was entered, or its request was not open.
    CodeFail,
    /// A password was changed or reset.
    PasswordChange,
    /// A password change was refused.
    PasswordChangeFail,
    /// Sessions were revoked by a logout or by the account owner.
    TokenRevoked,
    /// A replaced refresh token was used again.
    TokenReuse,
    /// An invalid token was used.
    TokenFail,
    /// A client was rate limited. Recorded once a minute for each client and limit.
    RateLimitExceeded,
    /// An account was created.
    UserCreated,
    /// An account was not created, because its email is taken.
    UserCreateFail,
    /// An account was changed in a way that affects access to it.
    UserUpdated,
    /// An account was deleted, but not by staff.
    UserDeleted,
    /// The owner of an account exported everything stored about it.
    UserExported,
    /// An administrator's action.
    Admin,
    /// A request without the necessary permission. Recorded once a minute for each client.
    NotPermitted,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::LoginSuccess,
        Self::LoginFail,
        Self::CodeSuccess,
        Self::CodeFail,
        Self::PasswordChange,
        Self::PasswordChangeFail,
        Self::TokenRevoked,
        Self::TokenReuse,
        Self::TokenFail,
        Self::RateLimitExceeded,
        Self::UserCreated,
        Self::UserCreateFail,
        Self::UserUpdated,
        Self::UserDeleted,
        Self::UserExported,
        Self::Admin,
        Self::NotPermitted,
    ];

    /// Returns the name in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoginSuccess => "authn_login_success",
            Self::LoginFail => "authn_login_fail",
            Self::CodeSuccess => "authn_reset_code_success",
            Self::CodeFail => "authn_reset_code_fail",
            Self::PasswordChange => "authn_password_change",
            Self::PasswordChangeFail => "authn_password_change_fail",
            Self::TokenRevoked => "authn_token_revoked",
            Self::TokenReuse => "authn_token_reuse",
            Self::TokenFail => "authn_token_fail",
            Self::RateLimitExceeded => "excess_rate_limit_exceeded",
            Self::UserCreated => "user_created",
            Self::UserCreateFail => "user_create_fail",
            Self::UserUpdated => "user_updated",
            Self::UserDeleted => "user_deleted",
            Self::UserExported => "user_exported",
            Self::Admin => "authz_admin",
            Self::NotPermitted => "authz_fail",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Self::LoginFail
            | Self::CodeFail
            | Self::PasswordChangeFail
            | Self::TokenReuse
            | Self::TokenFail
            | Self::UserCreateFail
            | Self::NotPermitted
            | Self::RateLimitExceeded => "failure",
            Self::LoginSuccess
            | Self::CodeSuccess
            | Self::PasswordChange
            | Self::TokenRevoked
            | Self::UserCreated
            | Self::UserUpdated
            | Self::UserDeleted
            | Self::UserExported
            | Self::Admin => "success",
        }
    }
}

/// The actor of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client that is not authenticated.
    Anonymous,
    /// The owner of this account.
    User(i64),
    /// An operator at the command line.
    Operator,
}

/// A new event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The kind of event.
    pub kind: EventKind,
    /// See [`Model::actor`].
    pub actor: Actor,
    /// See [`Model::user_id`].
    pub user_id: Option<i64>,
    /// See [`Model::session_id`].
    pub session_id: Option<Uuid>,
    /// See [`Model::subject`]. Stored shortened.
    pub subject: Option<String>,
    /// See [`Model::client_ip`].
    pub client_ip: Option<String>,
    /// See [`Model::request_id`].
    pub request_id: String,
    /// See [`Model::detail`].
    pub detail: Option<String>,
    /// See [`Model::changes`].
    pub changes: Option<String>,
    /// The readable values, which are stored outside of the chain.
    pub details: Details,
}

impl Event {
    /// Returns the row without its hash.
    pub(super) fn row(self, seq: i64, at: DateTime<Utc>) -> Model {
        Model {
            seq,
            at,
            event: self.kind.as_str().to_owned(),
            outcome: self.kind.outcome().to_owned(),
            actor: match self.actor {
                Actor::Anonymous => "anonymous".to_owned(),
                Actor::User(id) => format!("user {id}"),
                Actor::Operator => "operator".to_owned(),
            },
            user_id: self.user_id,
            session_id: self.session_id,
            subject: self
                .subject
                .map(|it| it.chars().take(SUBJECT_LENGTH).collect()),
            client_ip: self.client_ip,
            request_id: self.request_id,
            detail: self.detail,
            changes: self.changes,
            details_hash: None,
            hash: String::new(),
        }
    }
}
