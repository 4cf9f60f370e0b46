//! `GET /auth/export/`: everything stored about the account of the current user, as JSON.
//!
//! `api/tests/it/accounts/data_export.rs` compares the export with the database schema, so that no new column is forgotten.

mod api_token;
mod items;
mod picture;
mod second_factor;
mod stream;

use latchkey_shared::models::audit::EventKind;
use poem::{Body, web::Data};
use poem_openapi::{
    ApiResponse, OpenApi,
    payload::{Binary, Json},
};

use crate::{
    accounts::data_export::items::AccountExport,
    app_state::App,
    auth::bearer::ActivatedUser,
    http::{
        audit_context::{AuditContext, with_session},
        error::responses::ErrorResponses,
        tag::Tag,
    },
    rate_limit::Limit,
};

#[derive(ApiResponse)]
enum Exported {
    /// Everything stored about the account. The server streams it, and closes the connection if it fails on the way, so that the JSON
    /// is complete if it can be parsed.
    #[oai(status = 200, actual_type = "Json<AccountExport>")]
    Streamed(
        Binary<Body>,
        /// Names the file for downloads.
        #[oai(header = "Content-Disposition")]
        String,
    ),
}

/// The call that exports the account of the current user.
pub struct DataExport;

#[OpenApi]
impl DataExport {
    /// Export your data
    ///
    /// Returns everything stored about your account: profile, picture, sessions, API tokens, requests for codes, activity, actions
    /// of staff on the account and mails. It contains no password hashes, codes and secrets of tokens. Staff are not named.
    #[oai(
        path = "/auth/export",
        method = "get",
        operation_id = "exportOwnAccount",
        tag = "Tag::Account"
    )]
    async fn export(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Exported, ErrorResponses<401, 403, 429>> {
        current.check_second_factor(app)?;
        let limit = Limit::Export(&current.user);
        app.count_request(&audit, limit).await?;
        let event = audit.own(EventKind::UserExported, current.user.id);
        app.record(with_session(event, current.session.id)).await?;
        tracing::info!(user.id = current.user.id, "Account exported");
        let name = format!(
            "attachment; filename=\"account-{}-{}.json\"",
            current.user.id,
            app.now().format("%Y-%m-%d")
        );
        let body = stream::body(app.clone(), current);
        Ok(Exported::Streamed(Binary(body), name))
    }
}
