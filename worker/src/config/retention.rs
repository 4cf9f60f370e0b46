//! How long the worker's housekeeping keeps data.

use chrono::TimeDelta;
use latchkey_shared::config::{self, settings::Settings};

/// How long activations are kept while accounts that are pending email verification are never removed.
const DEFAULT_ACTIVATIONS: TimeDelta = TimeDelta::days(30);

/// How long the worker's housekeeping keeps data.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// `AUDIT_DETAILS_DAYS`: the readable values and client IPs of audit events. `None` for 0: they are never erased.
    pub audit_details: Option<TimeDelta>,
    /// `CLIENT_DATA_DAYS`: client IPs, networks and devices of sessions, mails and code requests. `None` for 0: as long as their rows.
    pub client_data: Option<TimeDelta>,
    /// `PENDING_ACCOUNT_DAYS`: activations, whose tokens request further codes.
    pub activations: TimeDelta,
}

impl Retention {
    pub(super) fn read(settings: &mut Settings, pending_accounts: Option<TimeDelta>) -> Self {
        Self {
            audit_details: config::days(settings, "AUDIT_DETAILS_DAYS", 90),
            client_data: config::days(settings, "CLIENT_DATA_DAYS", 90),
            activations: pending_accounts.unwrap_or(DEFAULT_ACTIVATIONS),
        }
    }
}
