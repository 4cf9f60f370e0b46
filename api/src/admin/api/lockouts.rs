//! `GET /api/admin/limits/`, `POST /api/admin/limits/release/`: lists and removes lockouts.

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json, types::Example};

use crate::admin::api::NoContent;
use crate::{
    admin::{
        actions::{self, lockouts::LockoutRow},
        api::token::Token,
        permissions::{ChangeUsers, ViewUsers},
    },
    app_state::App,
    http::{
        body::{Body, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// The active lockouts.
#[derive(Debug, Object)]
struct LockoutList {
    /// Longest first, at most 100.
    limits: Vec<Lockout>,
}

/// A lockout.
#[derive(Debug, Object)]
struct Lockout {
    /// The name, to remove the lockout.
    name: String,
    /// The limit: `login`, `failed_attempts` and `failed` (logins after failed attempts), `register`, `reset`, `otp`, `otp-ip`,
    /// `reset-password`, `change`, `change_failed_attempts` (password changes after failed attempts),
    /// `second_factor_failed_attempts`, `address`, `invitation`, `export` or `picture`
    /// (uploads).
    what: String,
    /// The network, the start of the mailbox fingerprint, or the account id.
    whom: String,
    /// The account id, if known.
    user: Option<i64>,
    /// The end of the lockout.
    until: DateTime<Utc>,
}

impl Lockout {
    fn of(row: LockoutRow) -> Self {
        Self {
            name: row.lockout.name,
            what: row.lockout.limit,
            whom: row.subject,
            user: row.user.map(|user| user.id),
            until: row.lockout.until,
        }
    }
}

/// The lockout to remove.
#[derive(Debug, Object)]
#[oai(example)]
struct UnlockRequest {
    /// The name from the list.
    #[oai(validator(min_length = 1))]
    name: String,
}

impl Example for UnlockRequest {
    fn example() -> Self {
        Self {
            name: "login:ip:192.0.2.7".to_owned(),
        }
    }
}

/// The calls for lockouts.
pub struct LockoutsApi;

#[OpenApi]
impl LockoutsApi {
    /// List lockouts
    ///
    /// Requires `view_users`.
    #[oai(
        path = "/api/admin/limits",
        method = "get",
        operation_id = "listLockouts",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<ViewUsers>,
    ) -> Result<Json<LockoutList>, ErrorResponses<401, 403>> {
        let rows = actions::lockouts::list(app, "mailbox").await?;
        Ok(Json(LockoutList {
            limits: rows.into_iter().map(Lockout::of).collect(),
        }))
    }

    /// Remove a lockout
    ///
    /// Requires `change_users`.
    #[oai(
        path = "/api/admin/limits/release",
        method = "post",
        operation_id = "removeLockout",
        tag = "Tag::Administration"
    )]
    async fn unlock(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        body: Body<'_, UnlockRequest>,
    ) -> Result<NoContent, ErrorResponses<400, 401, 403, 404, 413, 415>> {
        let name = parse(body.read().await?.fields)?;
        actions::lockouts::unlock(app, &admin, &name).await?;
        Ok(NoContent::Done)
    }
}

fn parse(mut fields: Fields) -> Result<String, ApiError> {
    let name = fields.required("name");
    fields.finish()?;
    Ok(name?)
}
