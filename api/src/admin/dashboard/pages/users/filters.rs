//! Filters, columns and order of the list of users.

use latchkey_shared::models::user::search::{Counts, MAX_COUNTED, Sort, SortBy};

use crate::admin::dashboard::{
    components::{SelectOption, capped_count},
    i18n::Texts,
    pages::users::query_string::{PENDING_APPROVAL, PENDING_VERIFICATION, UserListQuery},
};

/// A select field that filters the list.
pub(super) struct FilterSelect {
    pub name: &'static str,
    pub label: &'static str,
    pub options: Vec<SelectOption>,
}

/// A link to the list with a frequent filter.
pub(super) struct QuickFilter {
    pub label: &'static str,
    pub count: Option<String>,
    pub query: String,
    pub is_current: bool,
}

/// A column of the list.
pub(super) struct Column {
    pub label: &'static str,
    /// The query string that sorts by the column, or empty.
    pub sort: String,
    /// `ascending` or `descending`, if the list is sorted by the column.
    pub order: Option<&'static str>,
}

pub(super) fn columns(t: &'static Texts, query: &UserListQuery, sort: Sort) -> Vec<Column> {
    let sortable = |label, by| sortable_column(label, by, query, sort);
    let plain = |label| Column {
        label,
        sort: String::new(),
        order: None,
    };
    vec![
        sortable(t.name, SortBy::Name),
        sortable(t.email, SortBy::Email),
        plain(t.activated),
        plain(t.active),
        plain(t.staff),
        sortable(t.joined, SortBy::Joined),
        sortable(t.last_login, SortBy::LastLogin),
    ]
}

fn sortable_column(label: &'static str, by: SortBy, query: &UserListQuery, sort: Sort) -> Column {
    let is_current = sort.by == by;
    let next = Sort {
        by,
        // Reverses the current order. Otherwise, times start with the latest.
        descending: if is_current {
            !sort.descending
        } else {
            matches!(by, SortBy::Joined | SortBy::LastLogin)
        },
    };
    let order = if sort.descending {
        "descending"
    } else {
        "ascending"
    };
    Column {
        label,
        sort: query.link(&[("sort", &next.to_string())]),
        order: is_current.then_some(order),
    }
}

pub(super) fn sort_options(t: &Texts, sort: Sort) -> Vec<SelectOption> {
    let orders = [
        ("-joined", t.joined, "↓"),
        ("joined", t.joined, "↑"),
        ("name", t.name, "↑"),
        ("-name", t.name, "↓"),
        ("email", t.email, "↑"),
        ("-email", t.email, "↓"),
        ("-last_login", t.last_login, "↓"),
        ("last_login", t.last_login, "↑"),
    ];
    let options = orders.map(|(value, label, arrow)| (value, format!("{label} {arrow}")));
    SelectOption::list(options, &sort.to_string())
}

/// Returns the quick filters. Each replaces the current filter.
pub(super) fn quick_filters(
    t: &'static Texts,
    query: &UserListQuery,
    counts: &Counts,
) -> Vec<QuickFilter> {
    let pending_approval = format!("activated={PENDING_APPROVAL}&sort=joined");
    let pending_verification = format!("activated={PENDING_VERIFICATION}&sort=joined");
    let mut filters = vec![
        (t.all_users, None, ""),
        (
            t.pending_approval,
            Some(counts.pending_approval),
            pending_approval.as_str(),
        ),
        (t.deactivated, Some(counts.deactivated), "active=no"),
        (t.staff, Some(counts.staff), "staff=yes"),
        (t.superuser, Some(counts.superusers), "staff=superuser"),
    ];
    if shows_pending_verification(query, counts) {
        let count = Some(counts.pending_verification);
        filters.insert(
            2,
            (t.pending_verification, count, pending_verification.as_str()),
        );
    }
    filters
        .into_iter()
        .map(|(label, count, link)| QuickFilter {
            label,
            count: count.map(|count| capped_count(count, MAX_COUNTED)),
            is_current: query.link(&[]) == UserListQuery::parse(link).link(&[]),
            query: link.to_owned(),
        })
        .collect()
}

/// Returns whether to offer the filter for accounts that are pending verification. Most installations have none.
fn shows_pending_verification(query: &UserListQuery, counts: &Counts) -> bool {
    counts.pending_verification > 0 || query.activated == PENDING_VERIFICATION
}

pub(super) fn selects(
    t: &'static Texts,
    query: &UserListQuery,
    counts: &Counts,
) -> Vec<FilterSelect> {
    let mut activated = vec![
        ("yes", t.yes, counts.activated),
        ("no", t.no, counts.not_activated),
        (
            PENDING_APPROVAL,
            t.pending_approval,
            counts.pending_approval,
        ),
    ];
    if shows_pending_verification(query, counts) {
        activated.push((
            PENDING_VERIFICATION,
            t.pending_verification,
            counts.pending_verification,
        ));
    }
    let active = [
        ("yes", t.yes, counts.active),
        ("no", t.deactivated, counts.deactivated),
    ];
    let staff = [
        ("yes", t.yes, counts.staff),
        ("superuser", t.superuser, counts.superusers),
        ("no", t.no, counts.not_staff),
    ];
    let gender = [
        ("female", t.female, counts.female),
        ("male", t.male, counts.male),
        ("none", t.not_specified, counts.no_gender),
    ];
    let joined = [
        ("1", t.joined_1, counts.joined_1),
        ("7", t.joined_7, counts.joined_7),
        ("30", t.joined_30, counts.joined_30),
    ];
    let select = |name, label, value: &str, options: &[(&str, &str, i64)]| FilterSelect {
        name,
        label,
        options: select_options(t, value, options),
    };
    vec![
        select("activated", t.activated, &query.activated, &activated),
        select("active", t.active, &query.active, &active),
        select("staff", t.staff, &query.staff, &staff),
        select("gender", t.gender, &query.gender, &gender),
        select("joined", t.joined, &query.joined, &joined),
    ]
}

/// Returns "Any" and the options, with the counts in their labels.
fn select_options(t: &Texts, selected: &str, options: &[(&str, &str, i64)]) -> Vec<SelectOption> {
    let any = std::iter::once(("", t.any.to_owned()));
    let counted = options.iter().map(|(value, label, count)| {
        let count = capped_count(*count, MAX_COUNTED);
        (*value, format!("{label} ({count})"))
    });
    SelectOption::list(any.chain(counted), selected)
}
