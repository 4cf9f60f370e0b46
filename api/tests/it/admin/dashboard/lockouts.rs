//! The page of lockouts: display and unlocking.

use latchkey_shared::models::audit;

use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, assert_contains, field_value},
        test_app::{PASSWORD, TestApp},
    },
};

/// Staff see who is locked out, and unlock the account.
#[tokio::test]
async fn lockout_is_shown_and_unlocked_in_dashboard() {
    let app = TestApp::with_lockout_after(2).await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    assert_contains(&root.get_html("/admin/limits/").await, "No active lockouts");
    for _ in 0..3 {
        app.try_login("ada@example.com", "wrong password").await;
    }
    assert_eq!(app.try_login("ada@example.com", PASSWORD).await.status, 429);
    let id = app.user("ada@example.com").await.id;
    let html = root.get_html("/admin/limits/").await;
    assert_contains(&html, &format!("href=\"/admin/users/{id}/\""));
    assert_contains(&html, "failed logins");
    assert_contains(
        &root.get_html("/admin/").await,
        "<strong>1</strong> active lockouts",
    );
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    assert_contains(&html, "Locked out until");
    let name = field_value(&html, "name");
    root.submit(
        "/admin/limits/release/",
        &[("name", &name), ("back", "/admin/limits/")],
    )
    .await;
    assert_contains(&root.get_html("/admin/limits/").await, "No active lockouts");
    app.login("ada@example.com", PASSWORD).await;
    assert_eq!(
        admin_events(&app).await[0].detail.as_deref(),
        Some("unlocked: failed_attempts")
    );
    let page = root
        .post("/admin/limits/release/", &[("name", &name)])
        .await;
    assert_eq!(page.status, 404);
}

/// A4: staff unlock no superuser, and only existing lockouts are unlocked.
#[tokio::test]
async fn superuser_lockout_is_unlocked_only_by_superusers() {
    let app = TestApp::with_lockout_after(2).await;
    let root = Dashboard::superuser(&app).await;
    app.create_superuser("second@example.com").await;
    app.create_staff("staff@example.com", "change_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    // One failed attempt is no lockout.
    app.try_login("second@example.com", "wrong password").await;
    let keys = app.redis.keys().await;
    let counter = keys
        .iter()
        .find(|key| key.contains(":limit:failed_attempts:"))
        .unwrap();
    let name = counter.split_once(":limit:").unwrap().1;
    for name in [name, "unknown", ""] {
        let page = root.post("/admin/limits/release/", &[("name", name)]).await;
        assert_eq!(page.status, 404, "{name}");
    }
    assert!(app.redis.keys().await.contains(counter));

    for _ in 0..2 {
        app.try_login("second@example.com", "wrong password").await;
    }
    let page = staff
        .post("/admin/limits/release/", &[("name", name)])
        .await;
    assert_eq!(page.status, 403);
    assert_eq!(
        app.try_login("second@example.com", PASSWORD).await.status,
        429
    );
    let refusals = audit::Filter {
        event: Some("authz_fail".to_owned()),
        ..audit::Filter::default()
    };
    assert_eq!(
        audit::list(&app.database.db, refusals, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    root.submit("/admin/limits/release/", &[("name", name)])
        .await;
    app.login("second@example.com", PASSWORD).await;
}
