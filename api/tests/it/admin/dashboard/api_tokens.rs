//! The pages about API tokens.

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::{api_token, mail};
use reqwest::Method;

use crate::{
    admin::{admin_events, audit_log::events},
    support::{
        api_tokens::{create_api_token, stored_api_token},
        dashboard::{Dashboard, Page, assert_contains, assert_not_contains, field_value},
        test_app::{PASSWORD, TestApp},
    },
};

const STAFF: &str = "staff@example.com";
const NAME: &str = "Nightly export";

/// Submits the form of a new token with this name and these permissions.
async fn create(dashboard: &Dashboard, name: &str, permissions: &[&str]) -> Page {
    let mut fields = vec![("name", name), ("days", "30"), ("password", PASSWORD)];
    fields.extend(permissions.iter().map(|permission| (*permission, "on")));
    dashboard.post("/admin/tokens/add/", &fields).await
}

/// The token on the page after its creation.
pub(crate) fn token_in(html: &str) -> String {
    let (_, rest) = html.split_once("<code id=\"token\"").expect("a token");
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split('<').next().unwrap().to_owned()
}

async fn tokens_of(app: &TestApp, email: &str) -> Vec<api_token::Model> {
    let id = app.user(email).await.id;
    let found = api_token::list(&app.database.db, Some(id), None, 1_000).await;
    found.unwrap().into_iter().map(|(token, _)| token).collect()
}

async fn list_users(app: &TestApp, token: &str) -> u16 {
    let request = app.request(Method::GET, "/api/admin/users/");
    app.send(request.bearer_auth(token)).await.status.as_u16()
}

/// K2, K3: the page after the creation shows the token, nothing else does. Its owner gets a mail, and the event is in the audit log.
#[tokio::test]
async fn created_api_token_is_shown_once() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users,mails").await;
    let staff = Dashboard::signed_in(&app, STAFF).await;
    let html = staff.get_html("/admin/tokens/").await;
    assert_contains(&html, "No API tokens yet.");
    let html = staff.get_html("/admin/tokens/add/").await;
    assert_contains(&html, "name=\"mails\"");
    assert_not_contains(&html, "name=\"audit\"");

    let page = create(&staff, NAME, &["view_users"]).await;

    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.cookie("latchkey_flash"), None);
    let text = token_in(&page.html);
    assert!(text.len() == 46 && text.starts_with("lk_"), "{text}");
    assert_eq!(page.html.matches(&text).count(), 1);
    assert_eq!(list_users(&app, &text).await, 200);
    let html = staff.get_html("/admin/tokens/").await;
    assert_contains(&html, NAME);
    let stored = tokens_of(&app, STAFF).await.remove(0);
    assert_eq!(stored.expires_at, app.clock.now() + TimeDelta::days(30));
    assert_eq!(stored.permissions.to_string(), "view_users");
    let mail = app.mails_to(STAFF).await.pop().unwrap();
    assert_eq!(mail.subject, "New API token for your Latchkey account");
    for part in [&mail.text, &mail.html] {
        assert_contains(part, NAME);
    }
    let dump = [app.database.dump().await, app.redis.dump().await].concat();
    for place in [&html, &mail.raw, &dump] {
        assert_not_contains(place, &text);
    }
    let event = admin_events(&app).await.remove(0);
    let detail = format!("token {} created", stored.id);
    assert_eq!(event.detail, Some(detail));
    assert_eq!(event.user_id, Some(stored.user_id));
    let changes = event.changes.unwrap();
    assert!(
        changes.starts_with("permissions: - → [view_users]\nexpires: - → "),
        "{changes}"
    );
    assert!(event.session_id.is_some());
}

/// K3: the form names each error, keeps the input, and creates nothing.
#[tokio::test]
async fn invalid_api_token_form_keeps_input() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users,mails").await;
    let staff = Dashboard::signed_in(&app, STAFF).await;
    assert_eq!(create(&staff, "Taken", &["mails"]).await.status, 200);
    let valid = [
        ("name", NAME),
        ("days", "365"),
        ("password", PASSWORD),
        ("mails", "on"),
    ];
    for (field, value, error) in [
        ("name", "", "id=\"e-name\""),
        ("name", "a\u{202e}b", "id=\"e-name\""),
        ("name", "Taken", "Another of your API tokens has this name."),
        ("days", "366", "class=\"error\""),
        ("password", "a wrong password", "id=\"e-password\""),
        ("password", "", "id=\"e-password\""),
        ("mails", "", "Choose at least one permission."),
        // A permission that the account does not have.
        (
            "audit",
            "on",
            "Choose from the permissions that your account has.",
        ),
    ] {
        let mut fields: Vec<_> = valid.into_iter().filter(|it| it.0 != field).collect();
        fields.push((field, value));
        let page = staff.post("/admin/tokens/add/", &fields).await;
        assert_eq!(page.status, 400, "{field} {value}");
        assert_contains(&page.html, error);
        assert_not_contains(&page.html, PASSWORD);
        if field != "name" {
            assert_eq!(field_value(&page.html, "name"), NAME);
        }
        if field != "mails" {
            assert_contains(&page.html, "name=\"mails\" value=\"on\" checked");
        }
    }
    assert_eq!(tokens_of(&app, STAFF).await.len(), 1);
    let wrong = events(&app).await;
    let wrong = wrong
        .iter()
        .filter(|it| it.event == "authn_password_change_fail");
    let details: Vec<_> = wrong.map(|it| it.detail.as_deref()).collect();
    assert_eq!(details, [Some("API token")]);
}

/// K3: an account has at most 20 live tokens, also if several requests create them at once. Ended ones do not count.
#[tokio::test]
async fn concurrent_creations_stop_at_twenty_tokens() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    let staff = Dashboard::signed_in(&app, STAFF).await;
    for _ in 0..19 {
        create_api_token(&app, STAFF, "view_users").await;
    }
    let (ended, _) = create_api_token(&app, STAFF, "view_users").await;
    let revoked = api_token::revoke(&app.database.db, ended.id, app.clock.now()).await;
    assert!(revoked.unwrap());

    let names: Vec<_> = (0..5).map(|number| format!("Script {number}")).collect();
    let pages = join_all(
        names
            .iter()
            .map(|name| create(&staff, name, &["view_users"])),
    )
    .await;

    let created = pages.iter().filter(|page| page.status == 200).count();
    assert_eq!(created, 1, "{pages:?}");
    for page in pages.iter().filter(|page| page.status != 200) {
        assert_eq!(page.status, 400, "{page:?}");
        assert_contains(&page.html, "Revoke one first.");
    }
    assert_eq!(tokens_of(&app, STAFF).await.len(), 21);
    let html = staff.get_html("/admin/tokens/").await;
    assert_contains(&html, "the maximum of 20 API tokens");
    assert_not_contains(&html, "/admin/tokens/add/");
}

/// K3: concurrent creations with one name create one token.
#[tokio::test]
async fn concurrent_creations_with_one_name_create_one_token() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    let staff = Dashboard::signed_in(&app, STAFF).await;
    let pages = join_all((0..4).map(|_| create(&staff, NAME, &["view_users"]))).await;
    let created = pages.iter().filter(|page| page.status == 200).count();
    assert_eq!(created, 1, "{pages:?}");
    assert_eq!(tokens_of(&app, STAFF).await.len(), 1);
}

/// K3: a session that ends, or a permission that is withdrawn, during the creation creates no token.
#[tokio::test]
async fn staff_without_permissions_cannot_create_api_tokens() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "").await;
    let staff = Dashboard::signed_in(&app, STAFF).await;
    let html = staff.get_html("/admin/tokens/add/").await;
    assert_contains(&html, "Ask a superuser for them.");
    let page = create(&staff, NAME, &["view_users"]).await;
    assert_eq!(page.status, 400, "{page:?}");
    assert!(tokens_of(&app, STAFF).await.is_empty());
}

/// K3: staff see and revoke their own tokens, superusers those of everybody. A revocation asks first and sends no mail.
#[tokio::test]
async fn api_tokens_of_others_are_for_superusers() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.create_staff(STAFF, "view_users").await;
    app.create_staff("other@example.com", "view_users,audit")
        .await;
    let other = Dashboard::signed_in(&app, "other@example.com").await;
    let (row, token) = create_api_token(&app, STAFF, "view_users").await;
    let name = row.name.to_string();
    let path = format!("/admin/tokens/{}/revoke/", row.id);
    assert_not_contains(&other.get_html("/admin/tokens/").await, &name);
    for confirmed in ["", "yes"] {
        let page = other.post(&path, &[("confirmed", confirmed)]).await;
        assert_eq!(page.status, 404, "{page:?}");
    }
    assert_contains(&root.get_html("/admin/tokens/").await, &name);
    app.deliver_all().await;
    let mails = mail::list(&app.database.db, None, 100).await.unwrap().len();

    let page = root.post(&path, &[]).await;
    assert_eq!(page.status, 200);
    assert_contains(&page.html, "name=\"confirmed\"");
    assert_eq!(list_users(&app, &token.access).await, 200);
    let flash = root.submit(&path, &[("confirmed", "yes")]).await;

    assert_eq!(flash, "API token revoked.");
    assert_eq!(list_users(&app, &token.access).await, 401);
    assert!(stored_api_token(&app, row.id).await.revoked_at.is_some());
    assert_contains(&root.get_html("/admin/tokens/").await, "Revoked");
    let page = root.post(&path, &[("confirmed", "yes")]).await;
    assert_eq!(page.status, 409, "{page:?}");
    assert_eq!(
        mail::list(&app.database.db, None, 100).await.unwrap().len(),
        mails
    );
    let event = admin_events(&app).await.remove(0);
    assert_eq!(event.detail, Some(format!("token {} revoked", row.id)));
    assert_eq!(event.user_id, Some(row.user_id));
    assert_eq!(event.changes.as_deref(), Some("revoked: false → true"));
    let html = other.get_html("/admin/audit/").await;
    assert_contains(&html, "revoked the API token");
    assert_contains(&html, &name);
}

/// K3: the owner revokes a token, and the log shows which actions a token made.
#[tokio::test]
async fn owner_revokes_api_token() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "change_users,audit").await;
    app.register("ada@example.com").await;
    let staff = Dashboard::signed_in(&app, STAFF).await;
    let page = create(&staff, NAME, &["change_users"]).await;
    let token = token_in(&page.html);
    let id = app.user("ada@example.com").await.id;
    let request = app.request(Method::POST, &format!("/api/admin/users/{id}/activate/"));
    let answer = app.send(request.bearer_auth(&token)).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let html = staff.get_html("/admin/audit/").await;
    assert_contains(&html, "(API token: <bdi>Nightly export</bdi>)");
    let row = tokens_of(&app, STAFF).await.remove(0);
    assert_eq!(row.last_used_at, Some(app.clock.now()));

    let path = format!("/admin/tokens/{}/revoke/", row.id);
    let flash = staff.submit(&path, &[("confirmed", "yes")]).await;

    assert_eq!(flash, "API token revoked.");
    assert_eq!(list_users(&app, &token).await, 401);
    // The name is free again.
    assert_eq!(create(&staff, NAME, &["view_users"]).await.status, 200);
    for path in ["/admin/tokens/x/revoke/", &path] {
        let page = staff.post(path, &[]).await;
        assert_eq!(page.status, 404, "{path}");
    }
    assert_eq!(staff.get(&path).await.location(), "/admin/tokens/");
}

/// A superuser's list has pages, the newest tokens first.
#[tokio::test]
async fn api_token_list_has_pages() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let mut names = Vec::new();
    for number in 0..4 {
        let email = format!("staff{number}@example.com");
        app.create_staff(&email, "view_users").await;
        for _ in 0..15 {
            let (row, _) = create_api_token(&app, &email, "view_users").await;
            names.push(row.name.to_string());
        }
    }
    let html = root.get_html("/admin/tokens/").await;
    assert_contains(&html, &names[59]);
    assert_not_contains(&html, &names[9]);
    let next = super::pager_link(&html, "next").unwrap();
    let html = root.get_html(&next).await;
    assert_contains(&html, &names[9]);
    assert_not_contains(&html, &names[10]);
    assert_eq!(super::pager_link(&html, "next"), None);
}

/// The pages and the mail are in the language of the staff member.
#[tokio::test]
async fn api_token_pages_and_mail_are_in_arabic() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    let access = app.login(STAFF, PASSWORD).await.access;
    let language = serde_json::json!({"language": "ar"});
    assert_eq!(app.patch_user(&access, language).await.status, 200);
    let staff = Dashboard::signed_in(&app, STAFF).await;
    let preferences = [("language", "ar"), ("back", "/admin/tokens/")];
    staff.post("/admin/preferences/", &preferences).await;
    assert_contains(
        &staff.get_html("/admin/tokens/").await,
        "لا توجد مفاتيح API بعد",
    );
    let page = staff.post("/admin/tokens/add/", &[("name", "x")]).await;
    assert_contains(&page.html, "يرجى ملء هذا الحقل");
    let page = create(&staff, NAME, &["view_users"]).await;
    assert_contains(&page.html, "لن يُعرض مرة أخرى");
    let mail = app.mails_to(STAFF).await.pop().unwrap();
    assert_contains(&mail.subject, "مفتاح API جديد");
    assert_contains(&mail.text, NAME);
}
