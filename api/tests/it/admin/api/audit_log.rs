//! The audit log: events of administrators and verification.

use serde_json::{Value, json};

use super::{assert_invalid_parameter, delete, get, logged_in_staff, patch, post, user_action};
use crate::{
    admin::audit_log::{drop_triggers, execute},
    support::test_app::TestApp,
};

/// A4, L1: the audit log shows who changed which account, and the values before and after.
#[tokio::test]
async fn admin_action_writes_audit_event_with_changes() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "change_users,delete_users").await;
    let auditor = logged_in_staff(&app, "auditor@example.com", "audit").await;
    app.register("ada@example.com").await;
    let clerk_id = app.user("clerk@example.com").await.id;
    let id = app.user("ada@example.com").await.id;

    user_action(&app, &clerk, id, "activate").await;
    let change = json!({"username": "Countess", "is_activated": false});
    let changed = patch(&app, &clerk, id, change).await;
    user_action(&app, &clerk, id, "request_password_reset").await;
    user_action(&app, &clerk, id, "sign_out").await;
    user_action(&app, &clerk, id, "deactivate").await;
    delete(&app, &clerk, id).await;

    let path = format!("/api/admin/audit/?event=authz_admin&actor=user {clerk_id}&user={id}");
    let response = get(&app, &auditor, &path).await;
    assert_eq!(response.status, 200, "{response:?}");
    let mut events = response.body["events"].as_array().unwrap().clone();
    events.reverse();
    let details: Vec<_> = events
        .iter()
        .map(|event| event["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        details,
        [
            "activated",
            "changed",
            "password reset requested",
            "all sessions ended",
            "deactivated",
            "deleted"
        ]
    );
    assert_eq!(events[0]["changes"], "is_activated: false → true");
    let diff = events[1]["changes"].as_str().unwrap();
    assert!(
        diff.starts_with("is_activated: true → false\nusername: "),
        "{diff}"
    );
    assert!(!diff.contains("Countess"), "{diff}");
    let details = &events[1]["details"];
    assert_eq!(
        details["changes"],
        json!([{"field": "username", "before": "Ada", "after": "Countess"}])
    );
    assert_eq!(details["account_name"], "Ada");
    assert_eq!(events[5]["details"]["account_name"], "Countess");
    assert_eq!(events[4]["changes"], "is_active: true → false");
    assert_eq!(
        events[1]["request"],
        changed.headers["x-request-id"].to_str().unwrap()
    );
    for event in &events {
        assert_eq!(event["actor"], format!("user {clerk_id}"));
        assert_eq!(event["user"], id);
        assert!(event["session"].is_string() && event["client_ip"] == "127.0.0.1");
    }
    for query in ["event=nonsense", "actor=Ada", "user=x", "before=x"] {
        assert_invalid_parameter(&app, &auditor, "audit", query).await;
    }
}

/// L1: an administrator learns which event of the log was altered.
#[tokio::test]
async fn audit_verification_reports_altered_event() {
    let app = TestApp::new().await;
    let auditor = logged_in_staff(&app, "auditor@example.com", "audit").await;
    let path = "/api/admin/audit/verify/";
    let response = post(&app, &auditor, path, Value::Null).await;
    assert_eq!(response.body["whole"], true, "{response:?}");
    assert_eq!(response.body["events"], 2);
    assert!(response.text("/head").starts_with("2:"));
    assert!(response.body["broken"].is_null());

    let page = get(&app, &auditor, "/api/admin/audit/?limit=1").await;
    assert_eq!(page.body["events"][0]["seq"], 2);
    let next = format!("/api/admin/audit/?limit=1&before={}", page.body["before"]);
    let page = get(&app, &auditor, &next).await;
    assert_eq!(page.body["events"][0]["seq"], 1);
    assert!(page.body["before"].is_null());

    drop_triggers(&app).await;
    execute(
        &app,
        "UPDATE audit_events SET client_ip = '192.0.2.1' WHERE seq = 1",
    )
    .await
    .unwrap();
    let response = post(&app, &auditor, path, Value::Null).await;
    assert_eq!(
        response.body,
        json!({
            "whole": false, "events": null, "head": null,
            "broken": "event 1 was altered or moved",
        })
    );
}
