//! `POST /auth/refresh/`

use latchkey_shared::{session, user};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json};

use crate::{
    app::App,
    body::Body,
    error::{ApiError, Failure},
    openapi::Tag,
    token::RefreshToken,
};

/// A refresh token.
#[derive(Debug, Object)]
#[oai(rename = "Refresh")]
pub(crate) struct Wire {
    /// As the login gave it.
    refresh: String,
}

/// The renewal of an access token.
#[derive(Debug, Object)]
struct Refreshed {
    /// A new access token of the same session.
    access: String,
}

/// See the module.
pub struct Refresh;

#[OpenApi]
impl Refresh {
    /// Renew the access token
    ///
    /// The refresh token stays the same and can be used until its session ends.
    #[oai(
        path = "/auth/refresh",
        method = "post",
        operation_id = "refresh",
        tag = "Tag::Session"
    )]
    async fn refresh(
        &self,
        Data(app): Data<&App>,
        body: Body<Wire>,
    ) -> Result<Json<Refreshed>, Failure<400, 401, 413, 415>> {
        let mut fields = body.fields;
        let token = fields.required::<RefreshToken>("refresh");
        fields.finish()?;
        let (session, user) = session_of(app, &token?).await?;
        let now = app.now();
        session::touch(&app.db, session.id, now).await?;
        Ok(Json(Refreshed {
            access: app
                .tokens
                .access(user.id, session.id, now)
                .expose()
                .to_owned(),
        }))
    }
}

/// The living session that a refresh token is the secret of, with its user.
pub(crate) async fn session_of(
    app: &App,
    token: &RefreshToken,
) -> Result<(session::Model, user::Model), ApiError> {
    let now = app.now();
    let verified = app
        .tokens
        .verify_refresh(token, now)
        .map_err(|_| ApiError::InvalidRefreshToken)?;
    session::find_alive(&app.db, verified.session, now)
        .await?
        .filter(|(session, user)| {
            user.id == verified.user_id
                && app
                    .token_hasher
                    .matches(verified.id.expose(), &session.secret_hash)
        })
        .ok_or(ApiError::InvalidRefreshToken)
}
