//! The page of an account: its form, sessions, mails and history.

use latchkey_api::admin::dashboard::account_status::AccountStatus;
use latchkey_shared::models::user;
use reqwest::multipart;

use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, Page, assert_contains, assert_not_contains, field_value},
        test_app::{PASSWORD, TestApp},
    },
};

/// The fields of the form of an account with some values replaced. An empty value removes the field.
async fn edit_form(
    dashboard: &Dashboard,
    app: &TestApp,
    email: &str,
    changed: &[(&'static str, &str)],
) -> Vec<(&'static str, String)> {
    let user = app.user(email).await;
    let html = dashboard
        .get_html(&format!("/admin/users/{}/", user.id))
        .await;
    let mut fields: Vec<(&'static str, String)> =
        ["version", "email", "username", "phoneNumber", "dateBirth"]
            .into_iter()
            .map(|name| (name, field_value(&html, name)))
            .collect();
    fields.push(("status", AccountStatus::of(&user).as_str().to_owned()));
    for (name, flag) in [
        ("is_staff", user.is_staff),
        ("is_superuser", user.is_superuser),
    ] {
        if flag {
            fields.push((name, "on".to_owned()));
        }
    }
    for (name, value) in changed {
        fields.retain(|(field, _)| field != name);
        if !value.is_empty() {
            fields.push((name, (*value).to_owned()));
        }
    }
    fields
}

/// Submits the form of an account.
async fn save(
    dashboard: &Dashboard,
    app: &TestApp,
    email: &str,
    fields: &[(&'static str, String)],
) -> Page {
    let id = app.user(email).await.id;
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    dashboard
        .post(&format!("/admin/users/{id}/"), &fields)
        .await
}

/// Opens the form of an account and submits it with some values replaced.
pub(super) async fn edit(
    dashboard: &Dashboard,
    app: &TestApp,
    email: &str,
    changed: &[(&'static str, &str)],
) -> Page {
    let fields = edit_form(dashboard, app, email, changed).await;
    save(dashboard, app, email, &fields).await
}

/// L1: the audit log names the changed fields, and no personal data.
#[tokio::test]
async fn user_form_changes_every_field_without_logging_values() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let png = multipart::Part::bytes(crate::accounts::pictures::png(64, 64))
        .file_name("face.png")
        .mime_str("image/png")
        .unwrap();
    let form = multipart::Form::new()
        .text("csrf", root.csrf.clone())
        .text(
            "version",
            app.user("ada@example.com").await.version.to_string(),
        )
        .text("email", "countess@example.com")
        .text("username", "Countess")
        .text("phoneNumber", "+201001234567")
        .text("dateBirth", "1990-02-28")
        .text("gender", "female")
        .text("status", "active")
        .part("image", png);
    let path = format!("/admin/users/{id}/");
    let page = root.send(root.post_request(&path).multipart(form)).await;
    assert_eq!(page.status, 303, "{page:?}");
    let user = app.user("countess@example.com").await;
    assert_eq!(user.username.as_str(), "Countess");
    assert_eq!(
        user.phone_number.as_ref().unwrap().to_string(),
        "+201001234567"
    );
    assert_eq!(user.date_birth.unwrap().to_string(), "1990-02-28");
    assert_eq!(user.gender.unwrap().to_string(), "female");
    assert!(user.is_activated);
    assert_eq!(app.pictures().len(), 1);
    assert_contains(&root.get_html(&path).await, "<img src=\"/media/");
    let changes = admin_events(&app).await[0].changes.clone().unwrap();
    for field in [
        "email",
        "username",
        "phoneNumber",
        "dateBirth",
        "gender",
        "image",
    ] {
        assert_contains(&changes, &format!("{field}: "));
    }
    for personal in ["countess", "ada@", "+20", "1990", "female"] {
        assert_not_contains(&changes, personal);
    }
    assert_eq!(app.mails_to("countess@example.com").await.len(), 1);

    // Without a file the picture stays. The checkbox removes it.
    edit(&root, &app, "countess@example.com", &[]).await;
    assert_eq!(app.pictures().len(), 1);
    let removal = [("image_clear", "on")];
    edit(&root, &app, "countess@example.com", &removal).await;
    assert_eq!(app.pictures().len(), 0);
}

/// A4: superusers grant and withdraw the permission to export on the form of an account.
#[tokio::test]
async fn user_form_grants_and_withdraws_export_permission() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.create_staff("staff@example.com", "view_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    for (checked, status) in [("on", 200), ("", 403)] {
        let permissions = [("view_users", "on"), ("export_users", checked)];
        let page = edit(&root, &app, "staff@example.com", &permissions).await;
        assert_eq!(page.status, 303, "{page:?}");
        assert_eq!(staff.get("/admin/users/export/").await.status, status);
    }
    let id = app.user("staff@example.com").await.id;
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    assert_contains(&html, "Export users (CSV)");
}

/// The form has one field for the status. Staff cannot make an account wait for its owner.
#[tokio::test]
async fn user_form_status_changes_by_one_field() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    let (_, select) = html.split_once("id=\"f-status\"").unwrap();
    let (select, _) = select.split_once("</select>").unwrap();
    assert_contains(select, "value=\"pending_approval\" selected");
    assert_not_contains(select, "pending_verification");
    for (status, activated, active) in [
        ("active", true, true),
        ("deactivated", true, false),
        ("active", true, true),
        ("pending_approval", false, true),
        ("deactivated", false, false),
        ("pending_approval", false, true),
    ] {
        let page = edit(&root, &app, "ada@example.com", &[("status", status)]).await;
        assert_eq!(page.status, 303, "{status}: {page:?}");
        let user = app.user("ada@example.com").await;
        assert_eq!((user.is_activated, user.is_active), (activated, active));
        assert_eq!(AccountStatus::of(&user).as_str(), status);
    }
    for status in ["pending_verification", "sleeping"] {
        let page = edit(&root, &app, "ada@example.com", &[("status", status)]).await;
        assert_eq!(page.status, 400, "{status}");
        assert_contains(&page.html, "id=\"e-status\"");
    }
    assert_eq!(app.mails_to("ada@example.com").await.len(), 3);
}

/// A change of another field does not take the decision from the owner of an invited account.
#[tokio::test]
async fn user_form_keeps_pending_verification() {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let page = edit(&root, &app, "ada@example.com", &[("username", "Countess")]).await;
    assert_eq!(page.status, 303, "{page:?}");
    let user = app.user("ada@example.com").await;
    assert!(user.pending_email_verification && !user.is_activated);
    let page = edit(
        &root,
        &app,
        "ada@example.com",
        &[("status", "pending_approval")],
    )
    .await;
    assert_eq!(page.status, 400);
}

/// An invalid form names each field and keeps the input.
#[tokio::test]
async fn user_form_invalid_field_keeps_input() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let invalid = [
        ("email", "grace@example"),
        ("phoneNumber", "12"),
        ("dateBirth", "2990-01-01"),
        ("username", "Kept"),
    ];
    let page = edit(&root, &app, "ada@example.com", &invalid).await;
    assert_eq!(page.status, 400);
    for (name, entered) in invalid {
        assert_eq!(field_value(&page.html, name), entered);
        let has_error = page.html.contains(&format!("id=\"e-{name}\""));
        assert_eq!(has_error, name != "username", "{name}");
    }
    let taken = [("email", "GRACE@example.com")];
    let page = edit(&root, &app, "ada@example.com", &taken).await;
    assert_eq!(page.status, 409);
    assert_contains(&page.html, "id=\"e-email\"");
    assert_eq!(app.user("ada@example.com").await.username.as_str(), "Ada");
}

/// An invalid form keeps the checkbox that removes the picture.
#[tokio::test]
async fn user_form_invalid_field_keeps_picture_removal() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let mut body = crate::support::test_app::registration("ada@example.com");
    body["image"] =
        crate::accounts::pictures::data_url(&crate::accounts::pictures::png(8, 8)).into();
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    let ada = app.user("ada@example.com").await;
    let version = ada.version.to_string();
    let fields = [
        ("version", version.as_str()),
        ("email", "ada@example.com"),
        ("username", "Ada"),
        ("phoneNumber", "12"),
        ("image_clear", "on"),
    ];
    let page = root
        .post(&format!("/admin/users/{}/", ada.id), &fields)
        .await;
    assert_eq!(page.status, 400);
    assert_contains(&page.html, "name=\"image_clear\" value=\"on\" checked");
}

/// Administrators do not overwrite each other's changes by mistake; saving again overwrites.
#[tokio::test]
async fn user_form_edit_conflict_shows_stored_values() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let mine = edit_form(&root, &app, "ada@example.com", &[("username", "Mine")]).await;
    let theirs = edit_form(&root, &app, "ada@example.com", &[("username", "Theirs")]).await;
    assert_eq!(
        save(&root, &app, "ada@example.com", &theirs).await.status,
        303
    );

    // An invalid form in between keeps the version that it was opened with.
    let mut invalid = mine.clone();
    invalid.retain(|(name, _)| *name != "phoneNumber");
    invalid.push(("phoneNumber", "12".to_owned()));
    let page = save(&root, &app, "ada@example.com", &invalid).await;
    assert_eq!(page.status, 400);
    let mut mine = mine;
    mine[0].1 = field_value(&page.html, "version");
    let page = save(&root, &app, "ada@example.com", &mine).await;
    assert_eq!(page.status, 409);
    assert_contains(&page.html, "has changed since you opened it");
    assert_contains(&page.html, "<bdi>Theirs</bdi>");
    assert_eq!(
        field_value(&page.html, "username"),
        "Mine",
        "the input stays"
    );
    assert_eq!(
        app.user("ada@example.com").await.username.as_str(),
        "Theirs"
    );
    // Saving the conflict page overwrites the stored values.
    let mut again = mine.clone();
    again[0].1 = field_value(&page.html, "version");
    assert_eq!(
        save(&root, &app, "ada@example.com", &again).await.status,
        303
    );
    assert_eq!(app.user("ada@example.com").await.username.as_str(), "Mine");
    // A change by the owner is a conflict, too.
    let late = edit_form(&root, &app, "ada@example.com", &[("username", "Late")]).await;
    let change = serde_json::json!({"username": "Countess"});
    assert_eq!(app.patch_user(&tokens.access, change).await.status, 200);
    assert_eq!(
        save(&root, &app, "ada@example.com", &late).await.status,
        409
    );
    assert_eq!(
        app.user("ada@example.com").await.username.as_str(),
        "Countess"
    );
}

/// A4: a form with a version that does not exist yet is refused.
#[tokio::test]
async fn user_form_future_version_returns_409() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let next = (app.user("ada@example.com").await.version + 1).to_string();
    let mut fields = edit_form(&root, &app, "ada@example.com", &[("username", "Eve")]).await;
    fields[0].1 = next;
    assert_eq!(
        save(&root, &app, "ada@example.com", &fields).await.status,
        409
    );
    assert_eq!(app.user("ada@example.com").await.username.as_str(), "Ada");
}

/// A conflict lists only fields that the form shows.
#[tokio::test]
async fn own_account_conflict_names_only_shown_fields() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let id = app.user("root@example.com").await.id;
    let fields = [
        ("version", "0"),
        ("email", "root@example.com"),
        ("username", "Mine"),
    ];
    let page = root.post(&format!("/admin/users/{id}/"), &fields).await;
    assert_eq!(page.status, 409, "{page:?}");
    assert_contains(&page.html, "<li>Name: <bdi>Ada</bdi></li></ul>");
}

/// L1: saving without a change writes no event and keeps the version.
#[tokio::test]
async fn unchanged_user_form_writes_no_event() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let ada = app.user("ada@example.com").await;
    let version = ada.version.to_string();
    let fields = [
        ("version", version.as_str()),
        ("email", "ada@example.com"),
        ("username", "Ada"),
        ("phoneNumber", ""),
        ("dateBirth", ""),
        ("gender", ""),
        ("status", "pending_approval"),
    ];
    let path = format!("/admin/users/{}/", ada.id);
    assert_eq!(root.submit(&path, &fields).await, "Saved.");
    assert_eq!(app.user("ada@example.com").await, ada);
    assert_eq!(admin_events(&app).await, []);
}

/// S5: administrators end a single session of an account.
#[tokio::test]
async fn admin_ends_one_session_and_keeps_others() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let first = app.logged_in_user("ada@example.com").await;
    app.advance_clock(chrono::TimeDelta::seconds(1));
    let second = app.login("ada@example.com", PASSWORD).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id;
    // The page lists the newest session first.
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    let session = field_value(&html, "session");
    let path = format!("/admin/users/{id}/sessions/");
    assert_eq!(
        root.submit(&path, &[("session", &session)]).await,
        "Session ended."
    );
    assert_eq!(app.get_user(&second.access).await.status, 401);
    assert_eq!(app.get_user(&first.access).await.status, 200);
    assert_eq!(root.post(&path, &[("session", &session)]).await.status, 404);
}

/// The section of a page with this heading id.
fn section(html: &str, name: &str) -> String {
    let (_, rest) = html
        .split_once(&format!("<h2 id=\"{name}\">"))
        .unwrap_or_else(|| panic!("no section {name} in {html}"));
    rest.split("</section>").next().unwrap().to_owned()
}

/// The page shows the mails to every email of the account, and its events with the names of the actors.
#[tokio::test]
async fn user_page_shows_mails_and_history_with_permission() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    app.request_reset("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    root.bulk("sign_out", &[id], &[]).await;
    let tokens = app.login("ada@example.com", PASSWORD).await;
    let change = serde_json::json!({"email": "countess@example.com"});
    assert_eq!(app.patch_user(&tokens.access, change).await.status, 200);
    let (db, now) = (&app.database.db, app.clock.now());
    assert!(user::trust_email(db, id, now).await.unwrap());
    // Another account takes the old email.
    app.register("ada@example.com").await;

    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    let mails = section(&html, "h-mails");
    for kind in ["Welcome", "Reset code"] {
        assert_eq!(
            mails.matches(&format!(">{kind}</a>")).count(),
            1,
            "{kind}: {mails}"
        );
    }
    let history = section(&html, "h-audit");
    for event in ["user_created", "authn_login_success", "authz_admin"] {
        assert_contains(&history, &format!("<code dir=\"ltr\">{event}</code>"));
    }
    let root_id = app.user("root@example.com").await.id;
    let actor =
        format!("<a href=\"/admin/users/{root_id}/\"><bdi>Ada</bdi></a> ended all sessions of ");
    assert_contains(&history, &actor);
    assert_contains(
        &history,
        "Sessions: <bdi dir=\"ltr\">1</bdi> → <bdi dir=\"ltr\">0</bdi>",
    );
    // Without the permissions `mails` and `audit` the page shows neither.
    app.create_staff("staff@example.com", "view_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html(&format!("/admin/users/{id}/")).await;
    assert_not_contains(&html, "h-mails");
    assert_not_contains(&html, "h-audit");
}
