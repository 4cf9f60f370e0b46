//! The page of the audit log: filters and verification.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::{
    admin::{
        audit_log::{drop_triggers, execute},
        dashboard::{roles::create_role, user_page::edit},
    },
    support::{
        dashboard::{Dashboard, assert_contains, assert_not_contains, field_value},
        test_app::{PASSWORD, TestApp},
    },
};

fn row_count(html: &str) -> usize {
    html.matches("data-label=\"#\">").count()
}

/// The text with Arabic digits.
fn arabic(text: &str) -> String {
    let digit = |c: char| {
        c.to_digit(10)
            .and_then(|value| char::from_u32(0x660 + value))
    };
    text.chars().map(|c| digit(c).unwrap_or(c)).collect()
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
    assert_contains(&html, "Activated: <bdi>No</bdi> → <bdi>Yes</bdi>");
    assert_contains(
        &html,
        &format!("activated <a href=\"/admin/users/{id}/\"><bdi>Ada</bdi></a>."),
    );
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
        (format!("until={}", arabic(&today.to_string())), 3),
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

/// The audit permission is enough to read names and values; links to accounts require `view_users`.
#[tokio::test]
async fn audit_page_names_accounts_links_with_view_users() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let root_id = app.user("root@example.com").await.id;
    let id = app.user("ada@example.com").await.id;
    root.bulk("activate", &[id], &[]).await;
    let path = format!("/admin/audit/?user={id}&event=authz_admin");
    let html = root.get_html(&path).await;
    let actor = format!("<a href=\"/admin/users/{root_id}/\"><bdi>Ada</bdi></a> activated ");
    assert_contains(&html, &actor);
    app.create_staff("auditor@example.com", "audit").await;
    let auditor = Dashboard::signed_in(&app, "auditor@example.com").await;
    let html = auditor.get_html(&path).await;
    assert_contains(&html, "<bdi>Ada</bdi> activated <bdi>Ada</bdi>.");
    assert_not_contains(&html, "href=\"/admin/users/");
}

/// The log names a deleted account until its details are erased, and its id afterwards. Chain and page stay valid.
#[tokio::test]
async fn audit_page_falls_back_to_ids_after_erasure() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("grace@example.com").await;
    let id = app.user("grace@example.com").await.id;
    root.bulk("delete", &[id], &[("confirmed", "yes")]).await;
    let path = format!("/admin/audit/?user={id}");
    let html = root.get_html(&path).await;
    assert_contains(&html, "deleted <bdi>Ada</bdi>.");
    assert_contains(&html, "<bdi>Ada</bdi> registered.");

    execute(&app, "DELETE FROM audit_details").await.unwrap();

    let html = root.get_html(&path).await;
    assert_contains(&html, &format!("deleted account {id}."));
    assert_contains(&html, &format!("account {id} registered."));
    let page = root.post("/admin/audit/verify/", &[]).await;
    assert_contains(&page.html, "The audit log is intact");
}

/// The sentences say the true reason of a refused login, in the language of the page.
#[tokio::test]
async fn audit_page_shows_reason_of_refused_login() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;
    app.try_login("nobody@example.com", PASSWORD).await;
    app.deactivate("ada@example.com").await;
    app.try_login("ada@example.com", PASSWORD).await;
    let html = root.get_html("/admin/audit/?event=authn_login_fail").await;
    assert_contains(&html, "failed: wrong password.");
    assert_contains(
        &html,
        "no account had the email <bdi dir=\"ltr\">nobody@example.com</bdi>.",
    );
    assert_contains(&html, "failed: the account is deactivated.");
}

/// Arabic pages write phone numbers and dates from left to right, and name roles, flags and devices.
#[tokio::test]
async fn audit_page_values_are_readable_in_arabic() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let changed = [
        ("phoneNumber", "+201001234567"),
        ("dateBirth", "١٩٩٠-٠٢-٢٨"),
    ];
    edit(&root, &app, "ada@example.com", &changed).await;
    let role = create_role(&root, &app, "Auditors", &["audit"]).await;
    let path = format!("/admin/roles/{role}/delete/");
    root.submit(&path, &[("confirmed", "yes")]).await;
    let login = app
        .request(Method::POST, "/api/login/")
        .header("user-agent", "okhttp/4.12.0")
        .json(&json!({"email": "ada@example.com", "password": PASSWORD}));
    assert_eq!(app.send(login).await.status, 200);
    let path = format!("/admin/audit/?user={id}");
    let english = root.get_html(&path).await;
    let preferences = [("language", "ar"), ("back", "/admin/")];
    root.post("/admin/preferences/", &preferences).await;
    let arabic = root.get_html(&path).await;
    for html in [&english, &arabic] {
        assert_contains(html, "<bdi dir=\"ltr\">+201001234567</bdi>");
        assert_contains(html, "<bdi dir=\"ltr\">1990-02-28</bdi>");
        assert_contains(html, "<bdi dir=\"ltr\">okhttp/4.12.0</bdi>");
    }
    assert_contains(&english, "<summary>okhttp (Android app)</summary>");
    assert_contains(&arabic, "<summary>okhttp (تطبيق Android)</summary>");
    let html = root.get_html("/admin/audit/?event=authz_admin").await;
    assert_contains(&html, "حذف الدور <bdi>Auditors</bdi> بواسطة ");
    root.bulk("delete", &[id], &[("confirmed", "yes")]).await;
    let html = root.get_html(&path).await;
    assert_contains(&html, "<li>موظف: <bdi>لا</bdi></li>");
    assert_not_contains(&html, "is_staff");
}
