//! `GET /api/admin/resets/`: password resets, without tokens and codes.

use chrono::{DateTime, Utc};
use latchkey_shared::models::password_reset::{self, Purpose};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, payload::Json, types};

use crate::admin::{
    api::{default_limit, parse_parameter},
    paginate,
};
use crate::{
    admin::{api::token::Token, permissions::ViewUsers},
    app_state::App,
    http::{error::responses::ErrorResponses, tag::Tag},
};

/// A page of password resets.
#[derive(Debug, Object)]
struct ResetList {
    /// Newest first.
    resets: Vec<Reset>,
    /// The value of `before` for the next page; null on the last page.
    before: Option<String>,
}

/// A password reset.
#[derive(Debug, Object)]
struct Reset {
    /// The id.
    id: String,
    /// The requested email address, in lower case.
    email: types::Email,
    /// The account id. Null until the address has been looked up, and if no account has the address.
    user: Option<i64>,
    /// `open`, `checked` (the code was verified), `used`, `overtaken` (superseded by another reset) or `expired`.
    state: String,
    /// The time of the request.
    created: DateTime<Utc>,
    /// The time at which it expires.
    expires: DateTime<Utc>,
    /// The number of attempts to enter the code.
    tries: i32,
}

impl Reset {
    fn of(row: &password_reset::Model, now: DateTime<Utc>) -> Self {
        Self {
            id: row.id.to_string(),
            state: row.stage(now).as_str().to_owned(),
            email: types::Email(row.email_key.as_str().to_owned()),
            user: row.user_id,
            created: row.created_at,
            expires: row.expires_at,
            tries: row.tries,
        }
    }
}

/// The calls for password resets.
pub struct ResetsApi;

#[OpenApi]
impl ResetsApi {
    /// List password resets
    ///
    /// Requires `view_users`.
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
        /// Only resets of this account.
        Query(user): Query<Option<i64>>,
        /// Only resets older than this one.
        Query(before): Query<Option<String>>,
        /// Maximum number of results.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<ResetList>, ErrorResponses<400, 401, 403>> {
        let before = parse_parameter("before", before)?;
        let rows = password_reset::list(
            &app.db,
            Some(Purpose::Reset),
            user,
            before,
            u64::from(limit) + 1,
        )
        .await?;
        let (rows, before) = paginate(rows, limit.into(), |row| row.id.to_string());
        let now = app.now();
        Ok(Json(ResetList {
            resets: rows.iter().map(|row| Reset::of(row, now)).collect(),
            before,
        }))
    }
}
