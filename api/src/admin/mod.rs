//! Administration by staff: the dashboard at `/admin/` and the API at `/api/admin/`.
//!
//! Both authorize a request with a [`Permit`](permissions::Permit) and change data through [`actions`] only.

pub mod actions;
pub mod api;
pub mod dashboard;
pub mod permissions;

/// Limits the rows, of which the query fetched one more than the limit. Returns the cursor of the last row if more rows follow.
fn paginate<T, C>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> (Vec<T>, Option<C>) {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| has_more).map(cursor);
    (rows, last)
}
