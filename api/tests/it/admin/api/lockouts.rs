//! Lockouts: the list and unlocking.

use serde_json::json;

use super::{get, logged_in_staff, post};
use crate::admin::admin_events;
use crate::support::test_app::{PASSWORD, TestApp};

/// Staff unlock an account whose owner is locked out.
#[tokio::test]
async fn lockout_is_listed_and_unlocked() {
    let app = TestApp::with(&[("LIMIT_LOGIN_FREE_FAILURES", "1")]).await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "change_users").await;
    app.logged_in_user("ada@example.com").await;
    for _ in 0..3 {
        app.try_login("ada@example.com", "a wrong password").await;
    }
    let id = app.user("ada@example.com").await.id;
    let lockouts = get(&app, &clerk, "/api/admin/limits/").await;
    assert_eq!(lockouts.body["limits"].as_array().unwrap().len(), 1);
    assert_eq!(lockouts.text("/limits/0/what"), "failed_attempts");
    assert_eq!(lockouts.body["limits"][0]["user"], id);

    let release = json!({"name": lockouts.text("/limits/0/name")});
    let path = "/api/admin/limits/release/";
    let response = post(&app, &clerk, path, release.clone()).await;
    assert_eq!(response.status, 204, "{response:?}");
    app.login("ada@example.com", PASSWORD).await;
    let again = post(&app, &clerk, path, release).await;
    again.assert_problem(404, "not-found");
    let response = post(&app, &clerk, path, json!({})).await;
    assert_eq!(
        response.invalid_fields(),
        [("name".to_owned(), "required".to_owned())]
    );
    let events = admin_events(&app).await;
    assert_eq!(
        events[0].detail.as_deref(),
        Some("unlocked: failed_attempts")
    );
}

/// A4: only superusers unlock a superuser, also if the failed attempts are older than the account.
#[tokio::test]
async fn superuser_lockout_before_registration_unlocked_by_superusers() {
    let app = TestApp::with(&[("LIMIT_LOGIN_FREE_FAILURES", "1")]).await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "view_users,change_users").await;
    for _ in 0..3 {
        app.try_login("sup1@example.com", "a wrong password").await;
    }
    app.create_superuser("sup1@example.com").await;

    let lockouts = get(&app, &clerk, "/api/admin/limits/").await;
    let id = app.user("sup1@example.com").await.id;
    let limits = lockouts.body["limits"].as_array().unwrap();
    assert!(!limits.is_empty());
    let path = "/api/admin/limits/release/";
    for limit in limits {
        assert_eq!(limit["user"], id, "{lockouts:?}");
        let release = json!({"name": limit["name"]});
        let response = post(&app, &clerk, path, release).await;
        response.assert_problem(403, "not-permitted");
    }
}
