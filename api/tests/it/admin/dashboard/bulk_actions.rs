//! Bulk actions on accounts: permissions, confirmation and consequences.

use latchkey_shared::models::user::{self, staff};

use super::{attribute_values, unescape, user_page::edit};
use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, assert_contains, field_value},
        test_app::{PASSWORD, TestApp},
    },
};

/// L1: each activated account has one event with the values before and after; its owner gets one mail.
#[tokio::test]
async fn bulk_activation_mails_owners_once_and_is_audited() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let mut ids = Vec::new();
    for i in 0..3 {
        let email = format!("user{i}@example.com");
        app.register(&email).await;
        ids.push(app.user(&email).await.id);
    }
    app.activate("user2@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let back = [("back", "/admin/users/?status=pending_approval")];

    let page = root.bulk("activate", &ids, &back).await;
    assert_eq!(root.follow(&page).await, "Activated. (2)");
    let page = root.bulk("activate", &ids, &back).await;
    root.follow(&page).await;

    for (i, mails) in [(0, 2), (1, 2), (2, 1)] {
        let email = format!("user{i}@example.com");
        assert_eq!(app.mails_to(&email).await.len(), mails, "{email}");
        app.login(&email, PASSWORD).await;
    }
    let events = admin_events(&app).await;
    assert_eq!(events.len(), 2, "{events:?}");
    let root_id = app.user("root@example.com").await.id;
    for event in &events {
        assert_eq!(event.actor, format!("user {root_id}"));
        assert_eq!(event.detail.as_deref(), Some("activated"));
        assert_eq!(event.changes.as_deref(), Some("is_activated: false → true"));
        assert!(event.client_ip.is_some() && event.session_id.is_some());
    }
}

/// Administrators confirm a deactivation or deletion, and return to the list.
#[tokio::test]
async fn deactivation_and_deletion_require_confirmation() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    for (act, question) in [
        ("deactivate", "Deactivate this account?"),
        ("delete", "Delete this account?"),
    ] {
        let page = root.bulk(act, &[id], &[]).await;
        assert_eq!(page.status, 200);
        assert_contains(&page.html, question);
        assert_contains(&page.html, "ada@example.com");
        assert_eq!(app.get_user(&tokens.access).await.status, 200);
    }
    let confirmed = ("confirmed", "yes");
    let page = root.bulk("deactivate", &[id], &[confirmed]).await;
    root.follow(&page).await;
    assert_eq!(app.get_user(&tokens.access).await.status, 401);
    let back = format!("/admin/users/{id}/");
    let more = [("back", back.as_str()), confirmed];
    let page = root.bulk("delete", &[id], &more).await;
    assert_eq!(page.location(), "/admin/users/");
    assert_eq!(root.get(&back).await.status, 404);
    let events = admin_events(&app).await;
    assert_eq!(events[0].detail.as_deref(), Some("deleted"));
    assert!(events[0].subject.is_some());
    assert_eq!(
        events[1].changes.as_deref(),
        Some("is_active: true → false")
    );
    assert_eq!(app.register("ada@example.com").await.status, 201);
}

/// The confirmation says how many sessions, resets and pictures are deleted with the accounts.
#[tokio::test]
async fn deletion_confirmation_counts_dependent_records() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    app.login("ada@example.com", PASSWORD).await;
    app.request_reset("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let page = root.bulk("delete", &[id], &[]).await;
    let counts = "active sessions (2), password resets (1), pictures (0).";
    assert_contains(&page.html, counts);
}

/// A4: only superusers manage staff accounts and grant permissions.
#[tokio::test]
async fn staff_cannot_manage_staff_or_grant_permissions() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_staff("staff@example.com", "change_users,delete_users")
        .await;
    app.create_staff("other@example.com", "view_users").await;
    app.register("ada@example.com").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;

    for email in ["root@example.com", "other@example.com", "staff@example.com"] {
        let id = app.user(email).await.id;
        for act in [
            "activate",
            "deactivate",
            "sign_out",
            "request_password_reset",
            "delete",
        ] {
            for more in [&[("confirmed", "yes")][..], &[]] {
                let page = staff.bulk(act, &[id], more).await;
                assert_eq!(page.status, 403, "{act} {email} {more:?}");
            }
        }
        let page = edit(&staff, &app, email, &[("email", "mine@example.com")]).await;
        assert_eq!(page.status, 403);
    }
    // Staff see no checkboxes for permissions. The form ignores fields that it does not show.
    for permission in ["is_staff", "is_superuser", "delete_users"] {
        let page = edit(&staff, &app, "ada@example.com", &[(permission, "on")]).await;
        assert_eq!(page.status, 303, "{page:?}");
    }
    let ada = app.user("ada@example.com").await;
    assert!(!ada.is_staff && !ada.is_superuser && ada.permissions.names().is_empty());
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let granted = [("is_staff", "on"), ("mails", "on")];
    let page = edit(&root, &app, "ada@example.com", &granted).await;
    assert_eq!(page.status, 303);
    let ada = app.user("ada@example.com").await;
    assert!(ada.is_staff && ada.permissions.to_string() == "mails");
    assert!(
        admin_events(&app).await[0]
            .changes
            .as_ref()
            .is_some_and(|changes| changes.contains("permissions: [] → [mails]")
                && changes.contains("is_staff: false → true"))
    );
}

/// A4: administrators cannot lock themselves out by mistake.
#[tokio::test]
async fn admins_cannot_deactivate_or_delete_own_account() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.create_superuser("second@example.com").await;
    let id = app.user("root@example.com").await.id;
    for act in ["deactivate", "delete"] {
        let page = root.bulk(act, &[id], &[("confirmed", "yes")]).await;
        assert_eq!(page.status, 409, "{act}");
    }
    let without = [("is_superuser", ""), ("status", "deactivated")];
    let page = edit(&root, &app, "root@example.com", &without).await;
    assert_eq!(page.status, 303);
    let user = app.user("root@example.com").await;
    assert!(user.is_superuser && user.is_active && user.is_staff);
}

/// A4: an installation always keeps a superuser.
#[tokio::test]
async fn concurrent_dashboard_superuser_removals_leave_one() {
    let app = TestApp::new().await;
    for round in 0..6 {
        let emails = [0, 1].map(|i| format!("root{round}{i}@example.com"));
        for email in &emails {
            app.create_superuser(email).await;
        }
        let (one, two) = (
            Dashboard::signed_in(&app, &emails[0]).await,
            Dashboard::signed_in(&app, &emails[1]).await,
        );
        let ids = [app.user(&emails[0]).await.id, app.user(&emails[1]).await.id];
        let act = if round % 2 == 0 {
            "deactivate"
        } else {
            "delete"
        };
        let confirmed = [("confirmed", "yes")];
        let (first, second) = tokio::join!(
            one.bulk(act, &ids[1..], &confirmed),
            two.bulk(act, &ids[..1], &confirmed)
        );
        let left = staff::count_superusers(&app.database.db).await.unwrap();
        assert_eq!(left, 1, "{first:?} {second:?}");
        // The next round starts without superusers.
        for email in &emails {
            let db = &app.database.db;
            let found = user::find_by_email(db, &email.parse().unwrap()).await;
            if let Some(user) = found.unwrap() {
                staff::delete(db, user.id).await.unwrap();
            }
        }
    }
}

/// Administrators confirm that an activation also reactivates deactivated accounts.
#[tokio::test]
async fn activating_deactivated_account_requires_confirmation() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    app.deactivate("grace@example.com").await;
    let ids = [
        app.user("ada@example.com").await.id,
        app.user("grace@example.com").await.id,
    ];
    let page = root.bulk("activate", &ids, &[]).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_contains(&page.html, "Some of these accounts are deactivated");
    for email in ["ada@example.com", "grace@example.com"] {
        assert!(!app.user(email).await.is_activated, "{email}");
    }
    let page = root.bulk("activate", &ids, &[("confirmed", "yes")]).await;
    assert_eq!(root.follow(&page).await, "Activated. (2)");
    let grace = app.user("grace@example.com").await;
    assert!(grace.is_active && grace.is_activated);
}

/// The ids of the rows with a checkbox.
fn selectable_ids(html: &str) -> Vec<i64> {
    let ids = attribute_values(html, "name=\"id\" value=\"");
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// Creates root, staff, Ada and Grace; returns the ids of the last three.
async fn create_staff_and_users(app: &TestApp) -> [i64; 3] {
    app.create_superuser("root@example.com").await;
    app.create_staff("staff@example.com", "change_users,delete_users")
        .await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let id = async |email: &str| app.user(email).await.id;
    [
        id("staff@example.com").await,
        id("ada@example.com").await,
        id("grace@example.com").await,
    ]
}

/// A4: the list has checkboxes only for accounts that the administrator can manage.
#[tokio::test]
async fn user_list_has_checkboxes_only_for_manageable_accounts() {
    let app = TestApp::new().await;
    let [staff_id, ada, grace] = create_staff_and_users(&app).await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html("/admin/users/?sort=joined").await;
    assert_contains(&html, "root@example.com");
    assert_contains(&html, "staff@example.com");
    assert_eq!(selectable_ids(&html), [ada, grace]);
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/users/?sort=joined").await;
    assert_eq!(
        selectable_ids(&html),
        [staff_id, ada, grace],
        "all but the own account"
    );
}

/// A4: a refused bulk action changes no account. The form keeps the filter and the accounts that it permits.
#[tokio::test]
async fn refused_bulk_action_keeps_permitted_selection() {
    let app = TestApp::new().await;
    let [_, ada, grace] = create_staff_and_users(&app).await;
    let dashboard = Dashboard::signed_in(&app, "staff@example.com").await;
    // Grace joins the staff after the list was opened.
    let change = staff::Change {
        is_staff: Some(true),
        ..staff::Change::default()
    };
    let seen = app.user("grace@example.com").await;
    staff::change(&app.database.db, &seen, change, app.clock.now())
        .await
        .unwrap();
    let back = ("back", "/admin/users/?q=example&sort=joined");
    for act in ["activate", "sign_out", "deactivate", "delete"] {
        let page = dashboard.bulk(act, &[ada, grace], &[back]).await;
        assert_eq!(page.status, 403, "{act}");
        let html = page.html;
        assert_contains(&html, "does not have permission");
        assert_eq!(selectable_ids(&html), [ada], "{act}");
        assert_contains(&html, "ada@example.com\" checked>");
        assert_eq!(field_value(&html, "q"), "example", "{act}");
        assert_eq!(unescape(&field_value(&html, "back")), back.1, "{act}");
    }
    assert!(!app.user("ada@example.com").await.is_activated);
}

/// A4: administrators cannot delete their own account; the refusal comes without a confirmation page.
#[tokio::test]
async fn bulk_deletion_with_own_account_returns_409() {
    let app = TestApp::new().await;
    let [_, ada, _] = create_staff_and_users(&app).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let own = app.user("root@example.com").await.id;
    let back = [("back", "/admin/users/?q=example&sort=joined")];
    let page = root.bulk("delete", &[ada, own], &back).await;
    assert_eq!(page.status, 409);
    let html = page.html;
    assert_contains(&html, "ada@example.com\" checked>");
}

/// Actions on one account refuse several ids, name the field and change nothing.
#[tokio::test]
async fn single_account_action_refuses_several_ids() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    app.activate("grace@example.com").await;
    let ids = [
        app.user("ada@example.com").await.id,
        app.user("grace@example.com").await.id,
    ];
    let before = admin_events(&app).await.len();
    let user_page = format!("/admin/users/{}/", ids[0]);
    for action in ["invite", "request_password_reset"] {
        for back in ["/admin/users/", &user_page] {
            let page = root.bulk(action, &ids, &[("back", back)]).await;
            assert_eq!(page.status, 400, "{action} {page:?}");
            let error = "role=\"alert\">id: Select only one account for this action.<";
            assert_contains(&page.html, error);
        }
    }
    assert_eq!(admin_events(&app).await.len(), before);
    let one = [("back", user_page.as_str())];
    let page = root.bulk("request_password_reset", &ids[..1], &one).await;
    assert_eq!(page.status, 303, "{page:?}");
}
