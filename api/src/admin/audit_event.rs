//! The audit events of staff actions.

use latchkey_shared::models::audit::{Actor, Event, EventKind};

use crate::{admin::permissions::Admin, http::audit_context::AuditContext};

impl AuditContext {
    /// Returns the event of a staff action; `what` becomes its detail.
    #[must_use]
    pub fn by_admin(&self, admin: &Admin, user_id: Option<i64>, what: &str) -> Event {
        Event {
            detail: Some(what.to_owned()),
            session_id: Some(admin.session.id),
            ..self.event(EventKind::Admin, Actor::User(admin.user.id), user_id)
        }
    }
}
