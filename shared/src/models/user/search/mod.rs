//! Lists of accounts, paginated by cursor so that the last page costs as much as the first.

mod condition;
mod counts;
mod fill;
mod order;
mod text;

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, Order, QueryOrder as _, QuerySelect as _, entity::prelude::*};

pub use crate::models::user::search::{
    counts::{Counts, counts},
    fill::fill_search_texts,
    order::{PageCursor, PageRequest, Sort, SortBy},
    text::text_of,
};
use crate::models::user::{
    Column, Entity, Model,
    search::condition::{IndexHint, column, condition},
};
use crate::types::gender::Gender;

/// The largest number that is counted exactly.
pub const MAX_COUNTED: i64 = 1_000;

/// A filter for lists of accounts. `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Words that have to occur in the username, the email or the phone number, regardless of case, accents and the variants of
    /// Arabic letters. Words of one or two characters have to be a prefix.
    pub text: Option<String>,
    /// Only active accounts that are not activated yet. A deactivated account is not pending.
    pub pending: bool,
    /// Whether the account is activated.
    pub activated: Option<bool>,
    /// Whether the account owner may activate the account.
    pub pending_email_verification: Option<bool>,
    /// Whether the account is not deactivated.
    pub active: Option<bool>,
    /// Whether the user may sign in to the dashboard.
    pub staff: Option<bool>,
    /// Whether the user is a superuser.
    pub superuser: Option<bool>,
    /// The gender. `Some(None)` selects accounts without one.
    pub gender: Option<Option<Gender>>,
    /// The earliest time of registration.
    pub joined_since: Option<DateTime<Utc>>,
}

impl Filter {
    /// Accounts that are pending approval by staff.
    #[must_use]
    pub fn pending_approval() -> Self {
        Self {
            pending: true,
            pending_email_verification: Some(false),
            ..Self::default()
        }
    }

    /// Accounts that are pending verification by their owner.
    #[must_use]
    pub fn pending_verification() -> Self {
        Self {
            pending_email_verification: Some(true),
            ..Self::pending_approval()
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows in their order.
    pub rows: Vec<Model>,
    /// The cursor of the previous page. `None` on the first page.
    pub before: Option<PageCursor>,
    /// The cursor of the next page. `None` on the last page.
    pub after: Option<PageCursor>,
    /// The number of rows of the whole list, up to [`MAX_COUNTED`] + 1.
    pub found: i64,
}

/// Returns a page of a list.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    sort: Sort,
    request: &PageRequest,
    size: usize,
) -> Result<Page, DbErr> {
    // The index hint for SQLite depends on the number of rows, so SQLite counts them first.
    let mut found = None;
    if db.get_database_backend() == DbBackend::Sqlite {
        found = Some(count(db, filter).await?);
    }
    let hint = found.map_or(IndexHint::Any, |found| IndexHint::new(filter, found));
    let (rows, has_more) = rows(db, filter, sort, request, size, hint).await?;
    let found = match found {
        Some(found) => found,
        // The page is the whole list.
        None if *request == PageRequest::First && !has_more => {
            i64::try_from(rows.len()).unwrap_or(i64::MAX)
        }
        None => count(db, filter).await?,
    };
    let (has_before, has_after) = match request {
        PageRequest::First => (false, has_more),
        PageRequest::After(_) => (true, has_more),
        PageRequest::Before(_) => (has_more, true),
    };
    let cursor = |row: Option<&Model>, exists: bool| {
        row.filter(|_| exists).map(|row| PageCursor::of(row, sort))
    };
    Ok(Page {
        before: cursor(rows.first(), has_before),
        after: cursor(rows.last(), has_after),
        rows,
        found,
    })
}

/// Returns the rows of a page, and whether there are more in the direction of the request.
async fn rows(
    db: &impl ConnectionTrait,
    filter: &Filter,
    sort: Sort,
    request: &PageRequest,
    size: usize,
    hint: IndexHint,
) -> Result<(Vec<Model>, bool), DbErr> {
    let backwards = matches!(request, PageRequest::Before(_));
    let descending = sort.descending != backwards;
    let key = order::sort_key(sort.by, db.get_database_backend(), hint.hides_order());
    let id = column("id", hint.hides_order());
    let order = if descending { Order::Desc } else { Order::Asc };
    let mut query = Entity::find().filter(condition(db, filter, hint, sort.by).await?);
    if let PageRequest::After(cursor) | PageRequest::Before(cursor) = request {
        query = query.filter(order::beyond(
            key.as_ref(),
            &id,
            sort.by,
            cursor,
            descending,
        ));
    }
    if let Some(key) = key {
        query = query.order_by(key, order.clone());
    }
    // An additional row tells whether there are more.
    let mut rows = query
        .order_by(id, order)
        .limit(size as u64 + 1)
        .all(db)
        .await?;
    let has_more = rows.len() > size;
    rows.truncate(size);
    if backwards {
        rows.reverse();
    }
    Ok((rows, has_more))
}

/// Counts the accounts that match a filter, up to [`MAX_COUNTED`] + 1.
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<i64, DbErr> {
    let some = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(condition(db, filter, IndexHint::Any, SortBy::Joined).await?)
        .limit(MAX_COUNTED as u64 + 1);
    Ok(i64::try_from(some.count(db).await?).unwrap_or(i64::MAX))
}

/// Counts all accounts that match a filter.
pub async fn count_all(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    let all = Entity::find().filter(condition(db, filter, IndexHint::Any, SortBy::Joined).await?);
    all.count(db).await
}
