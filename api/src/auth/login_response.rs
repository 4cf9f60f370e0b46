//! The response to a login: the account and the tokens of its session.

use latchkey_shared::models::{session, user};
use poem::Request;
use poem_openapi::{
    Object,
    payload::{Json, Response},
    types::{self, ToJSON, Type},
};

use crate::{
    app_state::App,
    auth::{
        jwt::{TokenId, TokenOwner},
        refresh_cookie,
    },
    http::error::ApiError,
};

/// A successful login.
#[derive(Debug, Object)]
pub struct LoggedIn {
    /// `Logged in Successfully`
    detail: String,
    /// The account.
    data: LoggedInUser,
    /// The tokens of the new session.
    token: TokenPair,
}

/// The account that logged in.
#[derive(Debug, Object)]
struct LoggedInUser {
    /// The email, as the owner entered it.
    email: types::Email,
    /// Always true.
    is_activated: bool,
}

impl LoggedIn {
    /// Responds with the first tokens of a session. `secret` is the id of its refresh token.
    pub fn respond(
        app: &App,
        request: &Request,
        (user, session): (&user::Model, &session::Model),
        secret: &TokenId,
    ) -> Result<Response<Json<Self>>, ApiError> {
        let body = |token| Self {
            detail: "Logged in Successfully".to_owned(),
            data: LoggedInUser {
                email: types::Email(user.email.to_string()),
                is_activated: user.is_activated,
            },
            token,
        };
        TokenPair::respond(app, request, (user, session), secret, body)
    }
}

/// An access token and its refresh token.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct TokenPair {
    /// For `Authorization: Bearer …`. Valid for 5 minutes by default.
    access: String,
    /// For `/auth/refresh/`. Valid for 10 days by default. Absent if the response has it as a cookie (`REFRESH_COOKIE=on`).
    #[oai(validator(min_length = 1))]
    refresh: Option<String>,
}

impl TokenPair {
    /// Issues the first tokens of a session, and adds them to the response that `body` makes. `secret` is the id of its refresh
    /// token.
    pub fn respond<T: Type + ToJSON>(
        app: &App,
        request: &Request,
        (user, session): (&user::Model, &session::Model),
        secret: &TokenId,
        body: impl FnOnce(Self) -> T,
    ) -> Result<Response<Json<T>>, ApiError> {
        let now = session.last_used_at;
        let access = app.tokens.access(TokenOwner::of(user), session.id, now)?;
        let refresh = app.tokens.refresh(session, secret, now);
        let in_cookie = refresh_cookie::is_used(app, request);
        let tokens = Self {
            access: access.expose().to_owned(),
            refresh: (!in_cookie).then(|| refresh.expose().to_owned()),
        };
        let response = Json(body(tokens));
        Ok(if in_cookie {
            refresh_cookie::with_cookie(app, response, &refresh, session.expires_at)
        } else {
            Response::new(response)
        })
    }
}
