//! `GET /api/admin/users/`: the list of accounts.

use chrono::TimeDelta;
use latchkey_shared::{
    models::{
        role,
        user::{
            self,
            search::{self, Filter, PageRequest},
        },
    },
    types::gender::Gender,
};
use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Query, payload::Json};

use crate::admin::api::{account::Account, default_limit, invalid_parameter, parse_parameter};
use crate::{
    admin::{api::token::Token, permissions::ViewUsers},
    app_state::App,
    http::{
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// A page of accounts.
#[derive(Debug, Object)]
struct AccountList {
    /// In the requested order.
    users: Vec<Account>,
    /// The value of `after` for the next page; null on the last page.
    after: Option<String>,
    /// The value of `before` for the previous page; null on the first page.
    before: Option<String>,
}

/// A gender filter.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum GenderFilter {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Not specified.
    None,
}

impl From<GenderFilter> for Option<Gender> {
    fn from(filter: GenderFilter) -> Self {
        match filter {
            GenderFilter::Male => Some(Gender::Male),
            GenderFilter::Female => Some(Gender::Female),
            GenderFilter::None => None,
        }
    }
}

/// The list of accounts.
pub struct UsersApi;

#[OpenApi]
impl UsersApi {
    /// List accounts
    ///
    /// Requires `view_users`. Pagination is by cursor, so concurrent registrations and deletions neither skip nor repeat
    /// accounts.
    #[oai(
        path = "/api/admin/users",
        method = "get",
        operation_id = "listAccounts",
        tag = "Tag::Administration"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is one parameter")]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<ViewUsers>,
        /// Search words. Each must occur in the name, the email address or the phone number.
        #[oai(validator(max_length = 500))]
        Query(q): Query<Option<String>>,
        /// Only accounts that are activated, or not.
        Query(activated): Query<Option<bool>>,
        /// Only accounts whose owners may activate them (`ACTIVATION=email`), or not.
        Query(pending_email_verification): Query<Option<bool>>,
        /// Only active accounts, or deactivated ones.
        Query(active): Query<Option<bool>>,
        /// Only staff accounts, or other ones.
        Query(staff): Query<Option<bool>>,
        /// Only superusers, or other accounts.
        Query(superuser): Query<Option<bool>>,
        /// Only accounts with this gender; `none` for accounts without one.
        Query(gender): Query<Option<GenderFilter>>,
        /// Only accounts registered in the last so many days.
        #[oai(validator(minimum(value = "1"), maximum(value = "36500")))]
        Query(joined_days): Query<Option<u16>>,
        /// `joined`, `email`, `name` or `last_login`, with `-` in front for descending order. The default is `-joined`.
        #[oai(validator(pattern = "^-?(joined|email|name|last_login)$"))]
        Query(sort): Query<Option<String>>,
        /// The cursor from `after` of the previous response.
        Query(after): Query<Option<String>>,
        /// The cursor from `before` of the previous response.
        Query(before): Query<Option<String>>,
        /// Maximum number of results.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<AccountList>, ErrorResponses<400, 401, 403>> {
        let filter = Filter {
            text: q,
            pending: false,
            activated,
            pending_email_verification,
            active,
            staff,
            superuser,
            gender: gender.map(Into::into),
            joined_since: joined_days.map(|days| app.now() - TimeDelta::days(days.into())),
        };
        let sort = parse_parameter("sort", sort)?.unwrap_or_default();
        let request = page_request(after, before)?;
        let page = search::page(&app.db, &filter, sort, &request, limit.into()).await?;
        Ok(Json(AccountList {
            users: accounts_of(app, page.rows).await?,
            after: page.after.map(|cursor| cursor.to_string()),
            before: page.before.map(|cursor| cursor.to_string()),
        }))
    }
}

/// Returns accounts with their roles.
async fn accounts_of(app: &App, rows: Vec<user::Model>) -> Result<Vec<Account>, ApiError> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut roles = role::ids_of_users(&app.db, &ids).await?;
    let now = app.now();
    let account = |row: user::Model| {
        let roles = roles.remove(&row.id).unwrap_or_default();
        Account::of(row, roles, &app.pictures, now)
    };
    Ok(rows.into_iter().map(account).collect())
}

fn page_request(after: Option<String>, before: Option<String>) -> Result<PageRequest, ApiError> {
    match (
        parse_parameter("after", after)?,
        parse_parameter("before", before)?,
    ) {
        (None, None) => Ok(PageRequest::First),
        (Some(cursor), None) => Ok(PageRequest::After(cursor)),
        (None, Some(cursor)) => Ok(PageRequest::Before(cursor)),
        (Some(_), Some(_)) => Err(invalid_parameter(
            "before",
            "Use either `after` or `before`.",
        )),
    }
}
