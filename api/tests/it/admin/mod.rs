//! Tests of the admin API, the dashboard and the audit log.

mod api;
pub(crate) mod audit_log;
pub(crate) mod dashboard;

use latchkey_shared::models::audit;

use crate::support::test_app::TestApp;

/// The events of administrators' actions, newest first.
async fn admin_events(app: &TestApp) -> Vec<audit::Model> {
    let filter = audit::Filter {
        event: Some("authz_admin".to_owned()),
        ..audit::Filter::default()
    };
    let (db, key) = (&app.database.db, app.database.keys.audit_key());
    let mut events = audit::list(db, filter, 1_000).await.unwrap();
    audit::load_details(db, &key, &mut events).await.unwrap();
    events
}
