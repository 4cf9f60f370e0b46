//! The query string of the list of users.

use chrono::TimeDelta;
use latchkey_shared::{
    models::user::search::{Filter, PageRequest, Sort, SortBy},
    types::gender::Gender,
};
use serde::Deserialize;

use crate::admin::dashboard::account_status::AccountStatus;
use crate::app_state::App;

/// The query string. Invalid values do not filter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UserListQuery {
    pub(super) q: String,
    pub(super) status: String,
    pub(super) staff: String,
    pub(super) gender: String,
    pub(super) joined: String,
    pub(super) sort: String,
    pub(super) after: String,
    pub(super) before: String,
}

impl UserListQuery {
    /// Parses a query string.
    pub(super) fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parsed.set(&name, &value);
        }
        parsed
    }

    fn set(&mut self, name: &str, value: &str) {
        let field = match name {
            "q" => &mut self.q,
            "status" => &mut self.status,
            "staff" => &mut self.staff,
            "gender" => &mut self.gender,
            "joined" => &mut self.joined,
            "sort" => &mut self.sort,
            "after" => &mut self.after,
            "before" => &mut self.before,
            _ => return,
        };
        value.clone_into(field);
    }

    /// Returns the query string with another value of a parameter.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.set(name, value);
        changed
    }

    /// Returns the value of a select field.
    pub(super) fn value(&self, name: &str) -> &str {
        match name {
            "staff" => &self.staff,
            "gender" => &self.gender,
            "joined" => &self.joined,
            _ => "",
        }
    }

    /// Returns whether no filter except this one is in use.
    pub(super) fn is_only_filter(&self, name: &str) -> bool {
        let others = self.filters().into_iter();
        let mut others = others.filter(|(other, _)| *other != name);
        others.all(|(_, value)| value.trim().is_empty())
    }

    fn filters(&self) -> [(&'static str, &str); 5] {
        [
            ("q", &self.q),
            ("status", &self.status),
            ("staff", &self.staff),
            ("gender", &self.gender),
            ("joined", &self.joined),
        ]
    }

    /// Returns the filter.
    pub(super) fn filter(&self, app: &App) -> Filter {
        let status = AccountStatus::parse(&self.status);
        let days = self.joined.parse().ok();
        let days = days.filter(|days| (1..=36_500).contains(days));
        Filter {
            text: Some(self.q.trim().to_owned()).filter(|text| !text.is_empty()),
            staff: match self.staff.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
            superuser: (self.staff == "superuser").then_some(true),
            gender: match self.gender.as_str() {
                "male" => Some(Some(Gender::Male)),
                "female" => Some(Some(Gender::Female)),
                "none" => Some(None),
                _ => None,
            },
            joined_since: days.map(|days| app.now() - TimeDelta::days(days)),
            ..status.map(AccountStatus::filter).unwrap_or_default()
        }
    }

    /// Returns the order. Without one, the accounts that wait longest for an activation come first, other accounts last.
    pub(super) fn sort(&self) -> Sort {
        let is_pending = AccountStatus::parse(&self.status).is_some_and(AccountStatus::is_pending);
        let default = if is_pending {
            Sort {
                by: SortBy::Joined,
                descending: false,
            }
        } else {
            Sort::default()
        };
        self.sort.parse().unwrap_or(default)
    }

    pub(super) fn page_request(&self) -> PageRequest {
        match (self.after.parse(), self.before.parse()) {
            (Ok(cursor), _) => PageRequest::After(cursor),
            (_, Ok(cursor)) => PageRequest::Before(cursor),
            _ => PageRequest::First,
        }
    }

    /// Returns the query string of the filter with additional parameters.
    pub(super) fn link(&self, more: &[(&str, &str)]) -> String {
        let filters = self.filters();
        let parameters = filters.iter().chain(more);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters.filter(|(_, value)| !value.is_empty()))
            .finish()
    }
}
