//! The calls under `/api/admin/`: what the dashboard does, for staff and scripts with a bearer token.
//!
//! Each file is named after the thing in the path. A handler's [`Token`](crate::admin::api::token::Token) is its permission, and whatever
//! changes anything is in `acts`, `edit` and `mails`, which the dashboard's pages use, too.

use std::str::FromStr;

use latchkey_shared::types::validation_error::Invalid;
use poem_openapi::ApiResponse;

use crate::http::error::ApiError;

pub mod account;
pub mod audit_log;
pub mod bulk;
pub mod lockouts;
pub mod mails;
pub mod resets;
pub mod sessions;
pub mod token;
pub mod user;
pub mod users;

/// All of them.
pub type Calls = (
    users::Users,
    user::User,
    bulk::Acts,
    sessions::Sessions,
    resets::Resets,
    mails::Mails,
    lockouts::Limits,
    audit_log::Log,
);

/// All of them, for the service.
pub const CALLS: Calls = (
    users::Users,
    user::User,
    bulk::Acts,
    sessions::Sessions,
    resets::Resets,
    mails::Mails,
    lockouts::Limits,
    audit_log::Log,
);

/// An answer that has nothing more to say.
#[derive(ApiResponse)]
enum Answer {
    /// It is done.
    #[oai(status = 204)]
    Done,
}

/// More bytes than any parameter needs.
const MAX_PARAMETER_BYTES: usize = 1024;

/// A parameter as what it stands for.
fn read<T: FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, ApiError> {
    let read = |text: String| {
        let text = Some(text).filter(|text| text.len() <= MAX_PARAMETER_BYTES)?;
        text.parse().ok()
    };
    text.map(|text| read(text).ok_or_else(|| bad(name, "Not a value that this parameter takes.")))
        .transpose()
}

fn bad(name: &str, detail: &str) -> ApiError {
    ApiError::invalid_field(name, Invalid::new("invalid", detail))
}

/// How long a page is, unless its length is asked for.
fn usual() -> u16 {
    50
}

/// A page of rows of which one more was read than it holds, and the place of its last one if there are more.
fn page<T, P>(mut rows: Vec<T>, limit: u16, place: impl Fn(&T) -> P) -> (Vec<T>, Option<P>) {
    let limit = usize::from(limit);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(place);
    (rows, last)
}
