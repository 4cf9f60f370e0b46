//! The query string of the list of users.

use chrono::TimeDelta;
use latchkey_shared::{
    models::user::search::{Filter, PageRequest, Sort},
    types::gender::Gender,
};
use serde::Deserialize;

use crate::app_state::App;

/// The value of `activated` for accounts that are pending approval.
pub(super) const PENDING_APPROVAL: &str = "pending_approval";
/// The value of `activated` for accounts that are pending verification.
pub(super) const PENDING_VERIFICATION: &str = "pending_verification";

/// The query string. Invalid values do not filter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UserListQuery {
    pub(super) q: String,
    pub(super) activated: String,
    pub(super) active: String,
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
            let field = match &*name {
                "q" => &mut parsed.q,
                "activated" => &mut parsed.activated,
                "active" => &mut parsed.active,
                "staff" => &mut parsed.staff,
                "gender" => &mut parsed.gender,
                "joined" => &mut parsed.joined,
                "sort" => &mut parsed.sort,
                "after" => &mut parsed.after,
                "before" => &mut parsed.before,
                _ => continue,
            };
            *field = value.into_owned();
        }
        parsed
    }

    /// Returns the filter.
    pub(super) fn filter(&self, app: &App) -> Filter {
        let flag = |text: &str| match text {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        let activated = match self.activated.as_str() {
            PENDING_APPROVAL => Filter::pending_approval(),
            PENDING_VERIFICATION => Filter::pending_verification(),
            activated => Filter {
                activated: flag(activated),
                ..Filter::default()
            },
        };
        let days = self.joined.parse().ok();
        let days = days.filter(|days| (1..=36_500).contains(days));
        Filter {
            text: Some(self.q.trim().to_owned()).filter(|text| !text.is_empty()),
            active: flag(&self.active),
            staff: flag(&self.staff),
            superuser: (self.staff == "superuser").then_some(true),
            gender: match self.gender.as_str() {
                "male" => Some(Some(Gender::Male)),
                "female" => Some(Some(Gender::Female)),
                "none" => Some(None),
                _ => None,
            },
            joined_since: days.map(|days| app.now() - TimeDelta::days(days)),
            ..activated
        }
    }

    /// Returns whether any filter besides the search text is set.
    pub(super) fn is_filtered(&self) -> bool {
        let filters = [
            &self.activated,
            &self.active,
            &self.staff,
            &self.gender,
            &self.joined,
        ];
        filters.iter().any(|value| !value.is_empty())
    }

    /// Returns the order.
    pub(super) fn sort(&self) -> Sort {
        self.sort.parse().unwrap_or_default()
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
        let filter = [
            ("q", self.q.as_str()),
            ("activated", &self.activated),
            ("active", &self.active),
            ("staff", &self.staff),
            ("gender", &self.gender),
            ("joined", &self.joined),
        ];
        let parameters = filter.iter().chain(more);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters.filter(|(_, value)| !value.is_empty()))
            .finish()
    }
}
