//! `GET /api/admin/resets/`: who asked for a new password. No token and no code.

use chrono::{DateTime, Utc};
use latchkey_shared::models::password_reset::{self, Purpose};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};

use crate::admin::api::{page, read, usual};
use crate::http::tag::Tag;
use crate::{
    admin::{api::token::Token, permissions::ViewUsers},
    app_state::App,
    http::error::responses::ErrorResponses,
};

/// A page of resets.
#[derive(Debug, Object)]
struct ResetList {
    /// The newest first.
    resets: Vec<Reset>,
    /// What `before` has to be for the next page; null on the last one.
    before: Option<String>,
}

/// One request to set a new password.
#[derive(Debug, Object)]
struct Reset {
    /// Names it.
    id: String,
    /// The address it was asked for, in lower case.
    email: String,
    /// Whose account it is; null while nobody has looked, and for ever when there is no such account.
    user: Option<i64>,
    /// `open`, `checked` (the code was right), `used`, `overtaken` (by another one) or `expired`.
    state: String,
    /// When it was asked for.
    created: DateTime<Utc>,
    /// When it ends by itself.
    expires: DateTime<Utc>,
    /// How many codes were tried.
    tries: i32,
}

impl Reset {
    fn of(row: &password_reset::Model, now: DateTime<Utc>) -> Self {
        Self {
            id: row.id.to_string(),
            state: row.stage(now).as_str().to_owned(),
            email: row.email_key.as_str().to_owned(),
            user: row.user_id,
            created: row.created_at,
            expires: row.expires_at,
            tries: row.tries,
        }
    }
}

/// See the module.
pub struct Resets;

#[OpenApi]
impl Resets {
    /// List password resets
    ///
    /// Needs `view_users`.
    #[oai(
        path = "/api/admin/resets",
        method = "get",
        operation_id = "listResets",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<ViewUsers>,
        /// Of this account.
        Query(user): Query<Option<i64>>,
        /// Older than this one.
        Query(before): Query<Option<String>>,
        /// How many at most.
        #[oai(
            default = "usual",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<ResetList>, ErrorResponses<400, 401, 403>> {
        let before = read("before", before)?;
        let rows = password_reset::list(
            &app.db,
            Some(Purpose::Reset),
            user,
            before,
            u64::from(limit) + 1,
        )
        .await?;
        let (rows, before) = page(rows, limit, |row| row.id.to_string());
        let now = app.now();
        Ok(Json(ResetList {
            resets: rows.iter().map(|row| Reset::of(row, now)).collect(),
            before,
        }))
    }
}
