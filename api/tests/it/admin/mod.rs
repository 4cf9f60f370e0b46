//! Staff actions: the JSON API, the dashboard and the audit log.

pub(crate) mod actions;
pub(crate) mod api;
pub(crate) mod audit_log;
pub(crate) mod dashboard;
