//! Roles of staff.

use latchkey_shared::models::role;

use super::user_page::edit;
use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, assert_contains, assert_not_contains, field_value},
        test_app::TestApp,
    },
};

/// Creates a role with these permissions, and returns its id.
pub(super) async fn create_role(
    dashboard: &Dashboard,
    app: &TestApp,
    name: &str,
    permissions: &[&str],
) -> i64 {
    let mut fields = vec![("name", name)];
    fields.extend(permissions.iter().map(|permission| (*permission, "on")));
    assert_eq!(
        dashboard.submit("/admin/roles/add/", &fields).await,
        "Saved."
    );
    let roles = role::list(&app.database.db).await.unwrap();
    let role = roles.iter().find(|role| role.name.to_string() == name);
    role.expect("the new role").id
}

/// A4: staff have their own permissions and those of their roles. A change of either applies to the next request.
#[tokio::test]
async fn role_permissions_apply_until_changed_or_removed() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.create_staff("staff@example.com", "mails").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let status = async || {
        let mut status = Vec::new();
        for path in ["/admin/mails/", "/admin/audit/", "/admin/users/export/"] {
            status.push(staff.get(path).await.status.as_u16());
        }
        status
    };
    let auditors = create_role(&root, &app, "Auditors", &["audit"]).await;
    let export = create_role(&root, &app, "Export", &["export_users"]).await;
    assert_eq!(status().await, [200, 403, 403]);
    let both = [format!("role_{auditors}"), format!("role_{export}")];
    // The names of the fields outlive the test.
    let [auditors_field, export_field] = both.map(|name| &*name.leak());

    let fields = [
        ("mails", "on"),
        (auditors_field, "on"),
        (export_field, "on"),
    ];
    let page = edit(&root, &app, "staff@example.com", &fields).await;

    assert_eq!(page.status, 303, "{page:?}");
    assert_eq!(status().await, [200, 200, 200]);
    let id = app.user("staff@example.com").await.id;
    let user_page = format!("/admin/users/{id}/");
    for html in [
        root.get_html(&user_page).await,
        staff.get_html(&user_page).await,
    ] {
        assert_contains(&html, "<span class=\"role\"><bdi>Auditors</bdi></span>");
    }
    let html = root.get_html(&format!("/admin/roles/{auditors}/")).await;
    assert_contains(&html, &user_page);
    // A change of the role.
    let path = format!("/admin/roles/{export}/");
    let fields = [("version", "0"), ("name", "Export"), ("view_users", "on")];
    assert_eq!(root.submit(&path, &fields).await, "Saved.");
    assert_eq!(status().await, [200, 200, 403]);
    // The assignment changes, and the staff member's own permissions end.
    let page = edit(&root, &app, "staff@example.com", &[(export_field, "on")]).await;
    assert_eq!(page.status, 303, "{page:?}");
    assert_eq!(status().await, [403, 403, 403]);
    let fields = [(auditors_field, "on")];
    edit(&root, &app, "staff@example.com", &fields).await;
    assert_eq!(status().await, [403, 200, 403]);
    // A deletion, which asks first.
    let path = format!("/admin/roles/{auditors}/delete/");
    let page = root.post(&path, &[]).await;
    assert_eq!(page.status, 200);
    assert_contains(&page.html, "name=\"confirmed\"");
    assert_eq!(status().await, [403, 200, 403]);
    assert_eq!(
        root.submit(&path, &[("confirmed", "yes")]).await,
        "Deleted."
    );
    assert_eq!(status().await, [403, 403, 403]);
    // Without the staff flag, roles have no effect.
    let fields = [(export_field, "on"), ("is_staff", "")];
    edit(&root, &app, "staff@example.com", &fields).await;
    assert_eq!(staff.get("/admin/").await.status, 403);
}

/// A4: staff with every permission cannot manage or assign roles, and superusers cannot change their own.
#[tokio::test]
async fn only_superusers_manage_and_assign_roles() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let role = create_role(&root, &app, "Auditors", &["audit"]).await;
    app.create_staff(
        "staff@example.com",
        "add_users,change_users,delete_users,mails",
    )
    .await;
    app.register("ada@example.com").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let (page, field) = (format!("/admin/roles/{role}/"), format!("role_{role}"));
    let field: &'static str = field.leak();
    for path in ["/admin/roles/", "/admin/roles/add/", &page] {
        assert_eq!(staff.get(path).await.status, 403, "{path}");
    }
    let form = [("version", "0"), ("name", "Mine"), ("confirmed", "yes")];
    for path in ["/admin/roles/add/", &page, &format!("{page}delete/")] {
        assert_eq!(staff.post(path, &form).await.status, 403, "{path}");
    }
    assert_not_contains(&staff.get_html("/admin/").await, "/admin/roles/");
    // The form ignores fields that it does not show.
    for (dashboard, email) in [(&staff, "ada@example.com"), (&root, "root@example.com")] {
        let saved = edit(dashboard, &app, email, &[(field, "on")]).await;
        assert_eq!(saved.status, 303, "{saved:?}");
    }
    assert_not_contains(&root.get_html(&page).await, "ada@example.com");
    assert_contains(&root.get_html(&page).await, "No members yet");
}

/// Names are unique without regard to case, and have the rules of usernames.
#[tokio::test]
async fn role_with_invalid_or_taken_name_keeps_input() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    create_role(&root, &app, "Auditors", &["audit"]).await;
    for name in ["", " ", "AUDITORS", "a\u{202e}b", &"x".repeat(46)] {
        let page = root
            .post("/admin/roles/add/", &[("name", name), ("mails", "on")])
            .await;
        assert_eq!(page.status, 400, "{name:?}");
        assert_contains(&page.html, "id=\"e-name\"");
        assert_contains(&page.html, "name=\"mails\" value=\"on\" checked");
    }
    assert_eq!(role::list(&app.database.db).await.unwrap().len(), 1);
}

/// Administrators do not overwrite each other's changes of a role by mistake.
#[tokio::test]
async fn role_edit_conflict_keeps_input() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let id = create_role(&root, &app, "Auditors", &["audit"]).await;
    let path = format!("/admin/roles/{id}/");
    let theirs = [("version", "0"), ("name", "Theirs")];
    root.submit(&path, &theirs).await;
    let page = root
        .post(&path, &[("version", "0"), ("name", "Mine")])
        .await;
    assert_eq!(page.status, 409);
    assert_eq!(field_value(&page.html, "name"), "Mine");
    let version = field_value(&page.html, "version");
    assert_contains(&root.get_html(&path).await, "Theirs");
    let mine = [("version", version.as_str()), ("name", "Mine")];
    assert_eq!(root.submit(&path, &mine).await, "Saved.");
}

/// L1: roles and their assignments are audited with values before and after.
#[tokio::test]
async fn role_actions_are_audited() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.create_staff("staff@example.com", "").await;
    let id = create_role(&root, &app, "Auditors", &["audit"]).await;
    let field: &'static str = format!("role_{id}").leak();
    edit(&root, &app, "staff@example.com", &[(field, "on")]).await;
    let path = format!("/admin/roles/{id}/");
    let change = [("version", "0"), ("name", "Mailers"), ("mails", "on")];
    root.submit(&path, &change).await;
    root.submit(&format!("{path}delete/"), &[("confirmed", "yes")])
        .await;

    let events = admin_events(&app).await;

    let staff = Some(app.user("staff@example.com").await.id);
    let found: Vec<_> = events
        .iter()
        .rev()
        .map(|event| {
            let changes = event.changes.clone().unwrap();
            (event.user_id, event.detail.clone().unwrap(), changes)
        })
        .collect();
    let expected = [
        (
            None,
            "created",
            "name: - → Auditors\npermissions: - → [audit]".to_owned(),
        ),
        (staff, "changed", format!("roles: [] → [{id} Auditors]")),
        (
            None,
            "changed",
            "name: Auditors → Mailers\npermissions: [audit] → [mails]".to_owned(),
        ),
        (
            None,
            "deleted",
            "name: Mailers → -\npermissions: [mails] → -".to_owned(),
        ),
    ];
    let expected = expected.map(|(user, action, changes)| {
        let of_role = user.is_none().then(|| format!("role {id} "));
        (
            user,
            format!("{}{action}", of_role.unwrap_or_default()),
            changes,
        )
    });
    assert_eq!(found, expected);
}
