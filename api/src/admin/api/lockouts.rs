//! `GET /api/admin/limits/`, `POST /api/admin/limits/release/`: who is held by a limit, and letting them go.

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json, types::Example};

use crate::admin::api::Answer;
use crate::http::tag::Tag;
use crate::{
    admin::{
        actions,
        api::token::Token,
        dashboard::pages::lockouts,
        permissions::{ChangeUsers, ViewUsers},
    },
    app_state::App,
    http::{
        body::{Body, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
    },
};

/// Who is held.
#[derive(Debug, Object)]
struct LockoutList {
    /// The longest first, 100 at most.
    limits: Vec<Lockout>,
}

/// Somebody whom a limit holds.
#[derive(Debug, Object)]
struct Lockout {
    /// Names it, to release it.
    name: String,
    /// What is refused: `login`, `failed_attempts` and `failed` (logins, after failed ones), `register`, `reset`, `otp`, `otp-ip`,
    /// `reset-password`, `change`, `change_failed_attempts` (password changes, after wrong passwords), `address` or `picture` (uploads).
    what: String,
    /// A network, a mailbox by the beginning of its fingerprint, or the id of an account.
    whom: String,
    /// The account, where it is known.
    user: Option<i64>,
    /// Until when.
    until: DateTime<Utc>,
}

/// Whom to release.
#[derive(Debug, Object)]
#[oai(rename = "Release", example)]
struct Wire {
    /// As the list names it.
    #[oai(validator(min_length = 1))]
    name: String,
}

impl Example for Wire {
    fn example() -> Self {
        Self {
            name: "login:peer:192.0.2.7".to_owned(),
        }
    }
}

/// See the module.
pub struct Limits;

#[OpenApi]
impl Limits {
    /// List who is held by a limit
    ///
    /// Needs `view_users`.
    #[oai(
        path = "/api/admin/limits",
        method = "get",
        operation_id = "listLimits",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<ViewUsers>,
    ) -> Result<Json<LockoutList>, ErrorResponses<401, 403>> {
        let rows = lockouts::rows(app, "mailbox").await?;
        let hold = |row: lockouts::Row| Lockout {
            name: row.held.name,
            what: row.held.what,
            whom: row.whom,
            user: row.user.map(|user| user.id),
            until: row.held.until,
        };
        Ok(Json(LockoutList {
            limits: rows.into_iter().map(hold).collect(),
        }))
    }

    /// Release somebody from a limit
    ///
    /// Needs `change_users`.
    #[oai(
        path = "/api/admin/limits/release",
        method = "post",
        operation_id = "releaseLimit",
        tag = "Tag::Administration"
    )]
    async fn release(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        body: Body<'_, Wire>,
    ) -> Result<Answer, ErrorResponses<400, 401, 403, 404, 413, 415>> {
        let name = parse(body.read().await?.fields)?;
        actions::lockouts::release(app, &admin, &name).await?;
        Ok(Answer::Done)
    }
}

fn parse(mut fields: Fields) -> Result<String, ApiError> {
    let name = fields.required("name");
    fields.finish()?;
    Ok(name?)
}
