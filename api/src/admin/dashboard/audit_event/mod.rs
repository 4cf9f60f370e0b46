//! Audit events as sentences, with the values before and after a change.

mod changes;
mod kinds;
mod sentences;

use std::collections::HashMap;

use latchkey_shared::{
    models::{
        audit::{self, Details, EventKind},
        role, session,
        user::{self, staff},
    },
    types::email::{Email, EmailKey},
};

use self::changes::ChangeRow;
pub use self::kinds::kind_label;
use crate::admin::dashboard::{current_admin::CurrentAdmin, i18n::Texts};
use crate::{app_state::App, http::error::ApiError};

/// An audit event for readers.
pub struct EventRow {
    /// The event.
    pub event: audit::Model,
    /// What happened.
    pub sentence: Vec<Part>,
    /// The changed values.
    pub changes: Vec<ChangeRow>,
    /// The `User-Agent` of the session, if it is still stored.
    pub user_agent: Option<String>,
    /// The name of the API token that authorized the request.
    pub api_token: Option<String>,
}

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Words of the sentence.
    Text(String),
    /// A value such as an email, which has its own direction.
    Value(String),
    /// An existing account that the administrator may view.
    Account {
        /// The id.
        id: i64,
        /// The name.
        name: String,
    },
}

/// Describes audit events. Names come from the details of the event, or else from the account. Links require `view_users`.
pub async fn event_rows(
    app: &App,
    me: &CurrentAdmin,
    t: &Texts,
    mut events: Vec<audit::Model>,
) -> Result<Vec<EventRow>, ApiError> {
    let mut details = audit::load_details(&app.db, &app.audit_key, &mut events).await?;
    let accounts = Accounts::load(app, &events, &details).await?;
    let roles = role_names(app, &events).await?;
    let sessions = events.iter().filter_map(|event| event.session_id);
    let user_agents = session::user_agents(&app.db, sessions).await?;
    let describe = |event: audit::Model| {
        let details = details.remove(&event.seq).unwrap_or_default();
        let writer = Writer {
            t,
            event: &event,
            details: &details,
            accounts: &accounts,
            roles: &roles,
            has_links: me.can_view_users(),
        };
        EventRow {
            sentence: writer.sentence(),
            changes: changes::rows(t, &event, &details),
            user_agent: event
                .session_id
                .and_then(|id| user_agents.get(&id).cloned()),
            // Without an id, the name is that of a created or revoked token.
            api_token: details
                .api_token_name
                .filter(|_| details.api_token_id.is_some()),
            event,
        }
    };
    Ok(events.into_iter().map(describe).collect())
}

/// Returns the current names of all roles by id, or nothing if no event is about a role.
async fn role_names(app: &App, events: &[audit::Model]) -> Result<HashMap<i64, String>, ApiError> {
    let is_about_role = |event: &audit::Model| {
        let detail = event.detail.as_deref().unwrap_or_default();
        event.event == EventKind::Admin.as_str() && detail.starts_with("role ")
    };
    if !events.iter().any(is_about_role) {
        return Ok(HashMap::new());
    }
    let roles = role::list(&app.db).await?;
    let names = roles
        .into_iter()
        .map(|role| (role.id, role.name.to_string()));
    Ok(names.collect())
}

/// The accounts of some events.
struct Accounts {
    by_id: HashMap<i64, user::Model>,
    /// The ids of the accounts of rate-limited emails, which the request did not look up.
    by_email: HashMap<EmailKey, i64>,
    /// The names of deleted accounts.
    deleted: HashMap<i64, String>,
}

impl Accounts {
    async fn load(
        app: &App,
        events: &[audit::Model],
        details: &HashMap<i64, Details>,
    ) -> Result<Self, ApiError> {
        let ids = events
            .iter()
            .flat_map(|event| [actor_id(event), event.user_id])
            .flatten();
        let users = staff::find_all(&app.db, &unique(ids)).await?;
        let mut by_id: HashMap<_, _> = users.into_iter().map(|user| (user.id, user)).collect();
        let emails: Vec<_> = events
            .iter()
            .filter(|event| is_rate_limit(event) && event.user_id.is_none())
            .filter_map(|event| email_key(details.get(&event.seq)?))
            .collect();
        let limited = user::find_by_emails(&app.db, &emails).await?;
        let by_email = limited.iter().map(|user| (user.email_key.clone(), user.id));
        let by_email = by_email.collect();
        by_id.extend(limited.into_iter().map(|user| (user.id, user)));
        let missing = events
            .iter()
            .flat_map(|event| [actor_id(event), event.user_id])
            .flatten()
            .filter(|id| !by_id.contains_key(id));
        let deleted = audit::names_of_deleted(&app.db, &app.audit_key, &unique(missing)).await?;
        Ok(Self {
            by_id,
            by_email,
            deleted,
        })
    }
}

fn unique(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn actor_id(event: &audit::Model) -> Option<i64> {
    event.actor.strip_prefix("user ")?.parse().ok()
}

fn is_rate_limit(event: &audit::Model) -> bool {
    event.event == EventKind::RateLimitExceeded.as_str()
}

fn email_key(details: &Details) -> Option<EmailKey> {
    let email: Email = details.email.as_ref()?.parse().ok()?;
    Some(email.key())
}

/// Writes the sentence of one event.
struct Writer<'a> {
    t: &'a Texts,
    event: &'a audit::Model,
    details: &'a Details,
    accounts: &'a Accounts,
    roles: &'a HashMap<i64, String>,
    has_links: bool,
}

/// Returns whether a value is displayed from left to right on every page: an email, or a value without letters, such as a phone
/// number or a date.
#[must_use]
pub fn is_left_to_right(value: &str) -> bool {
    value.contains('@') || !value.contains(char::is_alphabetic)
}

impl Writer<'_> {
    fn sentence(&self) -> Vec<Part> {
        let detail = self.event.detail.as_deref().unwrap_or_default();
        let Some((template, value)) = sentences::find(&self.event.event, detail, self.t.code)
        else {
            // An event of a newer version of the program.
            return vec![Part::Value(format!("{} {detail}", self.event.event))];
        };
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (placeholder, after) = after.split_once('}').unwrap_or_default();
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(match placeholder {
                "actor" => self.actor(),
                "account" => self.account(),
                "role" => self.role(value),
                "token" => self.api_token(value),
                _ => Part::Value(value.to_owned()),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts
    }

    fn actor(&self) -> Part {
        match (actor_id(self.event), self.event.actor.as_str()) {
            (Some(id), _) => self.named(id, self.details.actor_name.as_ref()),
            (None, "operator") => Part::Text(self.t.operator.to_owned()),
            _ => Part::Text(self.t.anonymous.to_owned()),
        }
    }

    /// Returns the name of a role at the time of the event, or else its current name, or else its id.
    fn role(&self, id: &str) -> Part {
        let current = || self.roles.get(&id.parse().ok()?).cloned();
        let name = self.details.role_name.clone().or_else(current);
        Part::Value(name.unwrap_or_else(|| id.to_owned()))
    }

    /// Returns the name of an API token at the time of the event, or else its id.
    fn api_token(&self, id: &str) -> Part {
        let name = self.details.api_token_name.clone();
        Part::Value(name.unwrap_or_else(|| id.to_owned()))
    }

    fn account(&self) -> Part {
        let by_email = || {
            let key = email_key(self.details)?;
            self.accounts.by_email.get(&key).copied()
        };
        if let Some(id) = self.event.user_id.or_else(by_email) {
            return self.named(id, self.details.account_name.as_ref());
        }
        let client_ip = self.event.client_ip.as_ref();
        let client_ip = client_ip.filter(|_| is_rate_limit(self.event));
        match self.details.email.as_ref().or(client_ip) {
            Some(value) => Part::Value(value.clone()),
            None => Part::Text(self.t.unknown_account.to_owned()),
        }
    }

    /// Names an account: as at the time of the event, as now, as at its deletion, or by its id.
    fn named(&self, id: i64, name: Option<&String>) -> Part {
        let user = self.accounts.by_id.get(&id);
        let current = user.map(|user| user.username.to_string());
        let deleted = || self.accounts.deleted.get(&id).cloned();
        let name = name.cloned().or(current).or_else(deleted);
        match (name, user) {
            (Some(name), Some(_)) if self.has_links => Part::Account { id, name },
            (Some(name), _) => Part::Value(name),
            (None, _) => Part::Text(format!("{} {id}", self.t.account_id)),
        }
    }
}
