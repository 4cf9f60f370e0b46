//! What the list of users shows of its filters: status tabs, selects, chips, columns and order. `query_string.rs` applies them.

use latchkey_shared::models::user::search::{Counts, MAX_COUNTED, Sort, SortBy};

use crate::admin::dashboard::{
    account_status::AccountStatus,
    components::{SelectOption, capped_count},
    i18n::Texts,
    pages::users::query_string::UserListQuery,
};

/// A link to the accounts with a status, or to all accounts. It keeps the other filters.
pub(super) struct StatusTab {
    pub label: &'static str,
    /// The number of all accounts with the status.
    pub count: String,
    /// Whether the tab shows the count. It does if no other filter is in use.
    pub shows_count: bool,
    /// The value of the field `status`.
    pub status: &'static str,
    pub query: String,
    pub is_current: bool,
}

/// A select field that filters the list.
pub(super) struct FilterSelect {
    pub name: &'static str,
    pub label: &'static str,
    pub options: Vec<FilterOption>,
    /// Whether the options show their counts. They do if no other filter is in use.
    pub shows_counts: bool,
}

/// An option of a select field.
pub(super) struct FilterOption {
    pub value: &'static str,
    pub label: &'static str,
    /// The number of all accounts with this value.
    pub count: String,
    pub is_selected: bool,
}

/// A filter in use, with the query string without it.
pub(super) struct Chip {
    pub label: String,
    pub query: String,
}

/// A column of the list.
pub(super) struct Column {
    pub label: &'static str,
    /// The links that sort by the column.
    pub links: Vec<SortLink>,
    /// `ascending` or `descending`, if the list is sorted by the column.
    pub order: Option<&'static str>,
}

/// A link that sorts the list, or reverses the current order.
pub(super) struct SortLink {
    pub label: &'static str,
    pub query: String,
    pub is_current: bool,
}

pub(super) fn columns(t: &'static Texts, query: &UserListQuery) -> Vec<Column> {
    let sort = query.sort();
    let order = if sort.descending {
        "descending"
    } else {
        "ascending"
    };
    let column = |label, keys: &[(&'static str, SortBy)]| Column {
        label,
        links: keys
            .iter()
            .map(|(label, by)| sort_link(label, *by, query, sort))
            .collect(),
        order: keys.iter().any(|(_, by)| *by == sort.by).then_some(order),
    };
    vec![
        column(t.user, &[(t.name, SortBy::Name), (t.email, SortBy::Email)]),
        column(t.status, &[]),
        column(t.role, &[]),
        column(t.joined, &[(t.joined, SortBy::Joined)]),
        column(t.last_login, &[(t.last_login, SortBy::LastLogin)]),
    ]
}

fn sort_link(label: &'static str, by: SortBy, query: &UserListQuery, sort: Sort) -> SortLink {
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
    SortLink {
        label,
        query: query.link(&[("sort", &next.to_string())]),
        is_current,
    }
}

pub(super) fn sort_options(t: &Texts, query: &UserListQuery) -> Vec<SelectOption> {
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
    let default = std::iter::once(("", t.sort_default.to_owned()));
    let options = orders.map(|(value, label, arrow)| (value, format!("{label} {arrow}")));
    SelectOption::list(default.chain(options), &query.sort)
}

/// Returns the tabs. Most installations have no accounts that are pending verification, and so no tab for them.
pub(super) fn tabs(t: &'static Texts, query: &UserListQuery, counts: &Counts) -> Vec<StatusTab> {
    let current = AccountStatus::parse(&query.status);
    let tab = |status: Option<AccountStatus>| {
        let (label, count) = match status {
            None => (t.all_users, counts.all),
            Some(status) => (t.account_status(status), count(counts, status)),
        };
        let name = status.map_or("", AccountStatus::as_str);
        StatusTab {
            label,
            count: capped_count(count, MAX_COUNTED),
            shows_count: query.is_only_filter("status"),
            status: name,
            query: query.with("status", name).link(&[("sort", &query.sort)]),
            is_current: status == current,
        }
    };
    let is_shown = |status: &AccountStatus| {
        *status != AccountStatus::PendingVerification
            || counts.pending_verification > 0
            || current == Some(*status)
    };
    let statuses = AccountStatus::ALL.into_iter().filter(is_shown).map(Some);
    std::iter::once(None).chain(statuses).map(tab).collect()
}

fn count(counts: &Counts, status: AccountStatus) -> i64 {
    match status {
        AccountStatus::PendingApproval => counts.pending_approval,
        AccountStatus::PendingVerification => counts.pending_verification,
        AccountStatus::Active => counts.active,
        AccountStatus::Deactivated => counts.deactivated,
    }
}

/// The values of a select field and their labels.
type Options = [(&'static str, &'static str); 3];

/// Returns the name, the label and the values of each select field.
fn fields(t: &'static Texts) -> [(&'static str, &'static str, Options); 3] {
    [
        (
            "staff",
            t.role,
            [
                ("yes", t.staff),
                ("superuser", t.superuser),
                ("no", t.no_role),
            ],
        ),
        (
            "gender",
            t.gender,
            [
                ("female", t.female),
                ("male", t.male),
                ("none", t.not_specified),
            ],
        ),
        (
            "joined",
            t.joined,
            [("1", t.joined_1), ("7", t.joined_7), ("30", t.joined_30)],
        ),
    ]
}

/// Returns the select fields. The counts are those of all accounts.
pub(super) fn selects(
    t: &'static Texts,
    query: &UserListQuery,
    counts: &Counts,
) -> Vec<FilterSelect> {
    let counts = [
        [counts.staff, counts.superusers, counts.not_staff],
        [counts.female, counts.male, counts.no_gender],
        [counts.joined_1, counts.joined_7, counts.joined_30],
    ];
    let select = |((name, label, options), counts): ((_, _, Options), [i64; 3])| {
        let counted = options.into_iter().zip(counts);
        let counted = counted.map(|((value, label), count)| FilterOption {
            value,
            label,
            count: capped_count(count, MAX_COUNTED),
            is_selected: value == query.value(name),
        });
        FilterSelect {
            name,
            label,
            options: counted.collect(),
            shows_counts: query.is_only_filter(name),
        }
    };
    fields(t).into_iter().zip(counts).map(select).collect()
}

/// Returns the filters in use besides the status: the search text and the selected options.
pub(super) fn chips(t: &'static Texts, query: &UserListQuery) -> Vec<Chip> {
    let chip = |name, label, value: &str| Chip {
        label: format!("{label}: {value}"),
        query: query.with(name, "").link(&[("sort", &query.sort)]),
    };
    let text = Some(query.q.trim()).filter(|text| !text.is_empty());
    let text = text.map(|text| chip("q", t.search, text));
    let selected = fields(t).into_iter().filter_map(|(name, label, options)| {
        let selected = query.value(name);
        let (_, value) = options.into_iter().find(|(value, _)| *value == selected)?;
        Some(chip(name, label, value))
    });
    text.into_iter().chain(selected).collect()
}
