//! `POST /auth/logout/`

use latchkey_shared::{audit::EventKind, database, session};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};

use crate::{
    app::App,
    audit::{Trail, of_session},
    body::Body,
    failure::Failure,
    openapi::Tag,
    refresh::{Wire, present},
    token::RefreshToken,
};

#[derive(ApiResponse)]
enum LoggedOut {
    /// The session has ended.
    #[oai(status = 204)]
    Done,
}

/// See the module.
pub struct Logout;

#[OpenApi]
impl Logout {
    /// Log out
    ///
    /// Ends the session of the refresh token. Its access tokens count no more from this moment on.
    #[oai(
        path = "/auth/logout",
        method = "post",
        operation_id = "logout",
        tag = "Tag::Session"
    )]
    async fn logout(
        &self,
        Data(app): Data<&App>,
        trail: Trail,
        body: Body<Wire>,
    ) -> Result<LoggedOut, Failure<400, 401, 413, 415>> {
        let mut fields = body.fields;
        let token = fields.required::<RefreshToken>("refresh");
        fields.finish()?;
        let presented = present(app, &token?).await?;
        presented.is_current(app)?;
        let (session, user) = (presented.session, presented.user);
        let transaction = database::begin(&app.db).await?;
        session::revoke(&transaction, session.id, app.now()).await?;
        let event = of_session(trail.own(EventKind::TokenRevoked, user.id), session.id);
        app.note_in(&transaction, event).await?;
        transaction.commit().await?;
        tracing::info!(user.id, session.id = %session.id, "Logged out.");
        Ok(LoggedOut::Done)
    }
}
