//! The page of the audit log: filters and verification.

use chrono::TimeDelta;

use crate::{
    admin::audit_log::{drop_triggers, execute},
    support::{
        dashboard::{Dashboard, assert_contains, assert_not_contains, field_value},
        test_app::TestApp,
    },
};

fn row_count(html: &str) -> usize {
    html.matches("data-label=\"#\">").count()
}

/// L1: administrators see the changes of an account and verify the log.
#[tokio::test]
async fn audit_page_filters_events_and_verifies_chain() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    root.bulk("activate", &[id], &[]).await;
    let html = root
        .get_html(&format!("/admin/audit/?user={id}&event=authz_admin"))
        .await;
    assert_eq!(row_count(&html), 1, "{html}");
    assert_contains(&html, "is_activated: false → true");
    let page = root.post("/admin/audit/verify/", &[]).await;
    assert_contains(&page.html, "The audit log is intact");
    drop_triggers(&app).await;
    let tampering = "UPDATE audit_events SET changes = 'none' WHERE changes IS NOT NULL";
    execute(&app, tampering).await.unwrap();
    let page = root.post("/admin/audit/verify/", &[]).await;
    assert_contains(&page.html, "was altered");
}

/// Administrators find events by account, actor, kind and day.
#[tokio::test]
async fn audit_page_filters_by_user_actor_and_day() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let today = app.clock.now().date_naive();
    app.advance_clock(TimeDelta::days(1));
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id;
    root.bulk("activate", &[id], &[]).await;
    let root_id = app.user("root@example.com").await.id;
    let tomorrow = today.succ_opt().unwrap();
    for (query, found) in [
        (format!("user={id}"), 2),
        ("user=ADA@example.com".to_owned(), 2),
        ("actor=root@example.com&event=authz_admin".to_owned(), 1),
        (format!("actor=user+{root_id}&event=authz_admin"), 1),
        (format!("actor={root_id}&event=authz_admin"), 1),
        ("actor=operator".to_owned(), 0),
        (format!("until={today}"), 3),
        (format!("since={tomorrow}"), 2),
        (format!("since={today}&until={tomorrow}"), 5),
        (format!("since={today}&until={today}&user={id}"), 1),
        ("since=2001-01-01&until=2001-01-02".to_owned(), 0),
        (format!("since={}", tomorrow.succ_opt().unwrap()), 0),
    ] {
        let html = root.get_html(&format!("/admin/audit/?{query}")).await;
        assert_eq!(row_count(&html), found, "{query}: {html}");
    }
}

/// An invalid filter shows no events, names the field and says what to enter.
#[tokio::test]
async fn audit_page_invalid_filter_returns_400() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    for (name, value, error) in [
        ("user", "ada", "Enter an account ID or an email address."),
        (
            "user",
            "unknown@example.com",
            "No account has this email address.",
        ),
        (
            "actor",
            "someone",
            "Enter an account ID, an email address, operator or anonymous.",
        ),
        ("since", "yesterday", "Enter a date such as"),
        ("until", "2026-02-30", "Enter a date such as"),
    ] {
        let page = root.get(&format!("/admin/audit/?{name}={value}")).await;
        assert_eq!(page.status, 400, "{name}={value}");
        assert_eq!(row_count(&page.html), 0, "{}", page.html);
        assert_contains(
            &page.html,
            &format!("id=\"e-{name}\" class=\"error\">{error}"),
        );
        assert_eq!(field_value(&page.html, name), value);
    }
}

/// Only administrators with `view_users` see the names of accounts in the log.
#[tokio::test]
async fn audit_page_shows_names_only_with_view_users() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let root_id = app.user("root@example.com").await.id;
    let id = app.user("ada@example.com").await.id;
    root.bulk("activate", &[id], &[]).await;
    let html = root
        .get_html(&format!("/admin/audit/?user={id}&event=authz_admin"))
        .await;
    let actor = format!(
        "<a href=\"/admin/users/{root_id}/\"><bdi>Ada</bdi></a> <small><bdi dir=\"ltr\">user {root_id}</bdi></small>"
    );
    assert_contains(&html, &actor);
    app.create_staff("auditor@example.com", "audit").await;
    let auditor = Dashboard::signed_in(&app, "auditor@example.com").await;
    let html = auditor.get_html(&format!("/admin/audit/?user={id}")).await;
    assert_contains(&html, &format!("user {root_id}"));
    assert_not_contains(&html, "href=\"/admin/users/");
    assert_not_contains(&html, "<bdi>Ada</bdi></a> <small>");
}
