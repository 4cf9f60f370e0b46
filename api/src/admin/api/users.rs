//! `GET /api/admin/users/`: the accounts, a page at a time.

use chrono::TimeDelta;
use latchkey_shared::{
    models::user::search::{self, Filter, PageRequest},
    types::gender::Gender,
};
use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Query, payload::Json};

use crate::admin::api::{account::Account, bad, read, usual};
use crate::http::tag::Tag;
use crate::{
    admin::{api::token::Token, permissions::ViewUsers},
    app_state::App,
    http::error::{ApiError, responses::ErrorResponses},
};

/// A page of accounts.
#[derive(Debug, Object)]
struct AccountList {
    /// In the order that was asked for.
    users: Vec<Account>,
    /// What `after` has to be for the next page; null on the last one.
    after: Option<String>,
    /// What `before` has to be for the page before; null on the first one.
    before: Option<String>,
}

/// Which gender.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum WhichGender {
    /// Male.
    Male,
    /// Female.
    Female,
    /// It is not said.
    None,
}

impl From<WhichGender> for Option<Gender> {
    fn from(which: WhichGender) -> Self {
        match which {
            WhichGender::Male => Some(Gender::Male),
            WhichGender::Female => Some(Gender::Female),
            WhichGender::None => None,
        }
    }
}

/// See the module.
pub struct Users;

#[OpenApi]
impl Users {
    /// List accounts
    ///
    /// Needs `view_users`. Pages go on from the account where the last one ended, so that none is missed or repeated while
    /// others come and go.
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
        /// Words, of which each has to be in the name, the e-mail address or the phone number.
        #[oai(validator(max_length = 500))]
        Query(q): Query<Option<String>>,
        /// Whether they were let in.
        Query(activated): Query<Option<bool>>,
        /// Whether their owners may let them in (`ACTIVATION=email`) and have not.
        Query(pending_email_verification): Query<Option<bool>>,
        /// Whether they are open.
        Query(active): Query<Option<bool>>,
        /// Whether they may sign in to the dashboard.
        Query(staff): Query<Option<bool>>,
        /// Whether they may do everything there.
        Query(superuser): Query<Option<bool>>,
        /// Of this gender; `none` for those that do not say.
        Query(gender): Query<Option<WhichGender>>,
        /// Made within so many days.
        #[oai(validator(minimum(value = "1"), maximum(value = "36500")))]
        Query(joined_days): Query<Option<u16>>,
        /// `joined`, `email`, `name` or `last_login`, with `-` before it for the last first. `-joined` if nothing is said.
        #[oai(validator(pattern = "^-?(joined|email|name|last_login)$"))]
        Query(sort): Query<Option<String>>,
        /// The page after this place.
        Query(after): Query<Option<String>>,
        /// The page before this place.
        Query(before): Query<Option<String>>,
        /// How many at most.
        #[oai(
            default = "usual",
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
        let sort = read("sort", sort)?.unwrap_or_default();
        let part = part(after, before)?;
        let page = search::page(&app.db, &filter, sort, &part, limit.into()).await?;
        Ok(Json(AccountList {
            users: page
                .rows
                .into_iter()
                .map(|row| Account::of(row, &app.pictures))
                .collect(),
            after: page.after.map(|place| place.to_string()),
            before: page.before.map(|place| place.to_string()),
        }))
    }
}

fn part(after: Option<String>, before: Option<String>) -> Result<PageRequest, ApiError> {
    match (read("after", after)?, read("before", before)?) {
        (None, None) => Ok(PageRequest::First),
        (Some(place), None) => Ok(PageRequest::After(place)),
        (None, Some(place)) => Ok(PageRequest::Before(place)),
        (Some(_), Some(_)) => Err(bad("before", "Not together with after.")),
    }
}
