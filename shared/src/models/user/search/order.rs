//! The order of a list and the cursors of its pages.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use sea_orm::{
    Condition, DbBackend,
    sea_query::{Expr, ExprTrait as _, Func, SimpleExpr},
};

use crate::models::user::{Model, search::condition::column};

/// The sort key. The id decides between equal keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The time of registration.
    #[default]
    Joined,
    /// The email, ignoring case.
    Email,
    /// The username, ignoring case.
    Name,
    /// The last login. Accounts without one come first.
    LastLogin,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The sort key.
    pub by: SortBy,
    /// Whether the order is descending.
    pub descending: bool,
}

impl Default for Sort {
    /// The newest accounts first.
    fn default() -> Self {
        Self {
            by: SortBy::Joined,
            descending: true,
        }
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let by = match name {
            "joined" => SortBy::Joined,
            "email" => SortBy::Email,
            "name" => SortBy::Name,
            "last_login" => SortBy::LastLogin,
            _ => {
                return Err(
                    "one of joined, email, name, last_login, with - before it for the last first"
                        .to_owned(),
                );
            }
        };
        Ok(Self { by, descending })
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.descending { "-" } else { "" };
        let name = match self.by {
            SortBy::Joined => "joined",
            SortBy::Email => "email",
            SortBy::Name => "name",
            SortBy::LastLogin => "last_login",
        };
        write!(f, "{sign}{name}")
    }
}

/// A cursor: the position of a row in a sorted list, which stays valid if the row is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    key: String,
    id: i64,
}

impl PageCursor {
    /// Returns the cursor of a row.
    #[must_use]
    pub fn of(row: &Model, sort: Sort) -> Self {
        let key = match sort.by {
            SortBy::Joined => String::new(),
            SortBy::Email => row.email_key.as_str().to_owned(),
            SortBy::Name => row.username.as_str().to_owned(),
            SortBy::LastLogin => row.last_login_at.unwrap_or_default().to_rfc3339(),
        };
        Self { key, id: row.id }
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, URL_SAFE_NO_PAD.encode(&self.key))
    }
}

impl FromStr for PageCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (id, key) = text.split_once('.')?;
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
            if key.contains(char::is_control) {
                return None;
            }
            Some(Self {
                key,
                id: id.parse().ok()?,
            })
        };
        read().ok_or_else(|| "a cursor from a previous page".to_owned())
    }
}

/// The requested page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PageRequest {
    /// The first page.
    #[default]
    First,
    /// The page after a cursor.
    After(PageCursor),
    /// The page before a cursor.
    Before(PageCursor),
}

/// Returns the expression that rows are sorted by before their id. `None` for registration, whose order is that of the ids.
pub(super) fn sort_key(by: SortBy, backend: DbBackend, hidden: bool) -> Option<SimpleExpr> {
    let name = match by {
        SortBy::Joined => return None,
        SortBy::Email => "email_key",
        SortBy::Name => "lower(username)",
        // The expressions of the indexes.
        SortBy::LastLogin if backend == DbBackend::Postgres => {
            "coalesce(last_login_at, '1970-01-01T00:00:00+00:00'::timestamptz)"
        }
        SortBy::LastLogin => "coalesce(last_login_at, '1970-01-01T00:00:00+00:00')",
    };
    Some(column(name, hidden))
}

/// Returns the condition for rows after a cursor, in the order of the query.
pub(super) fn beyond(
    key: Option<&SimpleExpr>,
    id: &SimpleExpr,
    by: SortBy,
    cursor: &PageCursor,
    descending: bool,
) -> Condition {
    let (id, last) = (id.clone(), Expr::value(cursor.id));
    let Some(key) = key else {
        let beyond = if descending { id.lt(last) } else { id.gt(last) };
        return Condition::all().add(beyond);
    };
    let value: SimpleExpr = match by {
        SortBy::LastLogin => Expr::value(
            DateTime::parse_from_rfc3339(&cursor.key)
                .map(|at| at.to_utc())
                .unwrap_or_default(),
        ),
        SortBy::Name => Func::lower(Expr::value(cursor.key.clone())).into(),
        SortBy::Joined | SortBy::Email => Expr::value(cursor.key.clone()),
    };
    let (row, bound) = (
        Expr::tuple([key.clone(), id]),
        Expr::tuple([value.clone(), last]),
    );
    // The first condition is implied by the second, but SQLite uses the index only for the first: it does not search an index for
    // an expression that is part of a row comparison.
    if descending {
        Condition::all()
            .add(key.clone().lte(value))
            .add(row.lt(bound))
    } else {
        Condition::all()
            .add(key.clone().gte(value))
            .add(row.gt(bound))
    }
}
