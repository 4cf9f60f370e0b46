//! What administrators do: to whom they may, with what consequences, and what the audit log says of it.

use latchkey_shared::models::{
    audit::{self, Filter},
    mail::{self, MailState},
    user::staff,
};
use reqwest::multipart;

use crate::{
    admin::audit_log::{drop_triggers, execute},
    support::dashboard::{Dashboard, field_value},
    support::test_app::{PASSWORD, TestApp},
};

async fn events(app: &TestApp) -> Vec<audit::Model> {
    let filter = Filter {
        event: Some("authz_admin".to_owned()),
        ..Filter::default()
    };
    audit::list(&app.database.db, filter, 100).await.unwrap()
}

/// The fields of the form of an account, some of them changed.
async fn edited(
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
    for (name, flag) in [
        ("is_activated", user.is_activated),
        ("is_active", user.is_active),
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

async fn save(
    dashboard: &Dashboard,
    app: &TestApp,
    email: &str,
    fields: &[(&'static str, String)],
) -> crate::support::dashboard::Page {
    let id = app.user(email).await.id;
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    dashboard
        .post(&format!("/admin/users/{id}/"), &fields)
        .await
}

#[tokio::test]
async fn a_bulk_activation_mails_each_owner_once_and_is_noted_with_before_and_after() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let mut ids = Vec::new();
    for i in 0..3 {
        let email = format!("user{i}@example.com");
        app.register(&email).await;
        ids.push(app.user(&email).await.id.to_string());
    }
    app.activate("user2@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let mut fields: Vec<_> = ids.iter().map(|id| ("id", id.as_str())).collect();
    fields.extend([("act", "activate"), ("back", "/admin/users/?activated=no")]);

    assert_eq!(
        root.submit("/admin/users/bulk/", &fields).await,
        "Activated. (2)"
    );
    root.submit("/admin/users/bulk/", &fields).await;

    for (i, mails) in [(0, 2), (1, 2), (2, 1)] {
        let email = format!("user{i}@example.com");
        assert_eq!(app.mails_to(&email).await.len(), mails, "{email}");
        assert!(app.try_login(&email, PASSWORD).await.status.is_success());
    }
    let events = events(&app).await;
    assert_eq!(events.len(), 2, "{events:?}");
    let root_id = app.user("root@example.com").await.id;
    for event in &events {
        assert_eq!(event.actor, format!("user {root_id}"));
        assert_eq!(event.detail.as_deref(), Some("activated"));
        assert_eq!(event.changes.as_deref(), Some("is_activated: false → true"));
        assert!(event.client_ip.is_some() && event.session_id.is_some());
    }
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_asked_about_first() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    for (act, question) in [
        ("deactivate", "Deactivate these"),
        ("delete", "Delete these"),
    ] {
        let page = root
            .post("/admin/users/bulk/", &[("id", &id), ("act", act)])
            .await;
        assert_eq!(page.status, 200);
        assert!(page.html.contains(question) && page.html.contains("ada@example.com"));
        assert_eq!(app.get_user(&tokens.access).await.status, 200);
    }
    let sure = ("confirmed", "yes");
    let fields = [("id", id.as_str()), ("act", "deactivate"), sure];
    root.submit("/admin/users/bulk/", &fields).await;
    assert_eq!(app.get_user(&tokens.access).await.status, 401);
    let back = format!("/admin/users/{id}/");
    let fields = [
        ("id", id.as_str()),
        ("act", "delete"),
        ("back", &back),
        sure,
    ];
    let page = root.post("/admin/users/bulk/", &fields).await;
    assert_eq!(page.location(), "/admin/users/");
    assert_eq!(root.get(&back).await.status, 404);
    let events = events(&app).await;
    assert_eq!(events[0].detail.as_deref(), Some("deleted"));
    assert!(events[0].subject.is_some());
    assert_eq!(
        events[1].changes.as_deref(),
        Some("is_active: true → false")
    );
    assert_eq!(app.register("ada@example.com").await.status, 201);
}

#[tokio::test]
async fn staff_neither_touch_staff_nor_raise_anybodys_rights() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_staff("staff@example.com", "change_users,delete_users")
        .await;
    app.create_staff("other@example.com", "view_users").await;
    app.register("ada@example.com").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;

    for email in ["root@example.com", "other@example.com", "staff@example.com"] {
        let id = app.user(email).await.id.to_string();
        for act in [
            "activate",
            "deactivate",
            "sign_out",
            "request_password_reset",
            "delete",
        ] {
            let fields = [("id", id.as_str()), ("act", act), ("confirmed", "yes")];
            let page = staff.post("/admin/users/bulk/", &fields).await;
            assert_eq!(page.status, 403, "{act} {email}");
            let page = staff.post("/admin/users/bulk/", &fields[..2]).await;
            assert_eq!(page.status, 403, "no question: {act} {email}");
        }
        let fields = edited(&staff, &app, email, &[("email", "mine@example.com")]).await;
        assert_eq!(save(&staff, &app, email, &fields).await.status, 403);
    }
    // Of others the rights are not theirs to give: what the form has no box for is not taken.
    for right in ["is_staff", "is_superuser", "delete_users"] {
        let fields = edited(&staff, &app, "ada@example.com", &[(right, "on")]).await;
        let page = save(&staff, &app, "ada@example.com", &fields).await;
        assert_eq!(page.status, 303, "{page:?}");
    }
    let ada = app.user("ada@example.com").await;
    assert!(!ada.is_staff && !ada.is_superuser && ada.permissions.names().is_empty());
    // A superuser gives them.
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let given = [("is_staff", "on"), ("mails", "on")];
    let fields = edited(&root, &app, "ada@example.com", &given).await;
    assert_eq!(
        save(&root, &app, "ada@example.com", &fields).await.status,
        303
    );
    let ada = app.user("ada@example.com").await;
    assert!(ada.is_staff && ada.permissions.to_string() == "mails");
    assert!(
        events(&app).await[0]
            .changes
            .as_ref()
            .is_some_and(|changes| changes.contains("permissions: [] → [mails]")
                && changes.contains("is_staff: false → true"))
    );
}

#[tokio::test]
async fn nobody_shuts_deletes_or_promotes_the_account_they_act_with() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_superuser("second@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("root@example.com").await.id.to_string();
    for act in ["deactivate", "delete"] {
        let fields = [("id", id.as_str()), ("act", act), ("confirmed", "yes")];
        let page = root.post("/admin/users/bulk/", &fields).await;
        assert_eq!(page.status, 409, "{act}");
    }
    let without = [("is_superuser", ""), ("is_active", "")];
    let fields = edited(&root, &app, "root@example.com", &without).await;
    assert_eq!(
        save(&root, &app, "root@example.com", &fields).await.status,
        303
    );
    let user = app.user("root@example.com").await;
    assert!(user.is_superuser && user.is_active && user.is_staff);
}

#[tokio::test]
async fn the_last_superuser_stays_whoever_removes_whom_at_once() {
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
        let ids = [
            app.user(&emails[0]).await.id.to_string(),
            app.user(&emails[1]).await.id.to_string(),
        ];
        let act = if round % 2 == 0 {
            "deactivate"
        } else {
            "delete"
        };
        let remove = |id| [("id", id), ("act", act), ("confirmed", "yes")];
        let (first, second) = (remove(ids[1].as_str()), remove(ids[0].as_str()));
        let (first, second) = tokio::join!(
            one.post("/admin/users/bulk/", &first),
            two.post("/admin/users/bulk/", &second)
        );
        let left = staff::count_superusers(&app.database.db).await.unwrap();
        assert_eq!(left, 1, "{first:?} {second:?}");
        // For the next round there is nobody else.
        for email in &emails {
            let db = &app.database.db;
            let found =
                latchkey_shared::models::user::find_by_email(db, &email.parse().unwrap()).await;
            if let Some(user) = found.unwrap() {
                staff::delete(db, user.id).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn whoever_saves_second_is_told_and_loses_nothing() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let mine = edited(&root, &app, "ada@example.com", &[("username", "Mine")]).await;
    let theirs = edited(&root, &app, "ada@example.com", &[("username", "Theirs")]).await;
    assert_eq!(
        save(&root, &app, "ada@example.com", &theirs).await.status,
        303
    );

    // A bad field on the way does not make a form newer than it is.
    let mut bad = mine.clone();
    bad.retain(|(name, _)| *name != "phoneNumber");
    bad.push(("phoneNumber", "12".to_owned()));
    let page = save(&root, &app, "ada@example.com", &bad).await;
    assert_eq!(page.status, 400);
    let mut mine = mine;
    mine[0].1 = field_value(&page.html, "version");
    let page = save(&root, &app, "ada@example.com", &mine).await;
    assert_eq!(page.status, 409);
    assert!(
        page.html.contains("has changed since you opened it"),
        "{}",
        page.html
    );
    assert!(page.html.contains("<bdi>Theirs</bdi>"), "{}", page.html);
    assert_eq!(
        field_value(&page.html, "username"),
        "Mine",
        "what was entered stays"
    );
    assert_eq!(
        app.user("ada@example.com").await.username.as_str(),
        "Theirs"
    );
    // Whoever saves again after that means it.
    let mut again = mine.clone();
    again[0].1 = field_value(&page.html, "version");
    assert_eq!(
        save(&root, &app, "ada@example.com", &again).await.status,
        303
    );
    assert_eq!(app.user("ada@example.com").await.username.as_str(), "Mine");
    // The owner's own change counts, too.
    let late = edited(&root, &app, "ada@example.com", &[("username", "Late")]).await;
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

#[tokio::test]
async fn a_bad_field_is_named_and_what_was_entered_stays() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let bad = [
        ("email", "grace@example"),
        ("phoneNumber", "12"),
        ("dateBirth", "2990-01-01"),
        ("username", "Kept"),
    ];
    let fields = edited(&root, &app, "ada@example.com", &bad).await;
    let page = save(&root, &app, "ada@example.com", &fields).await;
    assert_eq!(page.status, 400);
    for (name, entered) in bad {
        assert_eq!(field_value(&page.html, name), entered);
        let is_bad = page.html.contains(&format!("id=\"e-{name}\""));
        assert_eq!(is_bad, name != "username", "{name}");
    }
    let taken = [("email", "GRACE@example.com")];
    let fields = edited(&root, &app, "ada@example.com", &taken).await;
    let page = save(&root, &app, "ada@example.com", &fields).await;
    assert_eq!(page.status, 409);
    assert!(page.html.contains("id=\"e-email\""), "{}", page.html);
    assert_eq!(app.user("ada@example.com").await.username.as_str(), "Ada");
}

#[tokio::test]
async fn the_form_changes_every_field_and_the_log_tells_no_personal_data() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
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
        .text("is_activated", "on")
        .text("is_active", "on")
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
    assert!(root.get_html(&path).await.contains("<img src=\"/media/"));
    let changes = events(&app).await[0].changes.clone().unwrap();
    for field in [
        "email",
        "username",
        "phoneNumber",
        "dateBirth",
        "gender",
        "image",
    ] {
        assert!(changes.contains(&format!("{field}: ")), "{changes}");
    }
    for personal in ["countess", "ada@", "+20", "1990", "female"] {
        assert!(!changes.contains(personal), "{changes}");
    }
    assert_eq!(app.mails_to("countess@example.com").await.len(), 1);

    // Without a file the picture stays; ticked, it goes.
    let fields = edited(&root, &app, "countess@example.com", &[]).await;
    save(&root, &app, "countess@example.com", &fields).await;
    assert_eq!(app.pictures().len(), 1);
    let fields = edited(
        &root,
        &app,
        "countess@example.com",
        &[("image_clear", "on")],
    )
    .await;
    save(&root, &app, "countess@example.com", &fields).await;
    assert_eq!(app.pictures().len(), 0);
}

#[tokio::test]
async fn an_administrator_asks_for_a_new_password_and_never_sets_one() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    let before = app.user("ada@example.com").await.password_hash;
    let fields = [("id", id.as_str()), ("act", "request_password_reset")];
    root.submit("/admin/users/bulk/", &fields).await;
    let mails = app.mails_to("ada@example.com").await;
    let last = mails.last().unwrap();
    assert_eq!(last.subject, "Please set a new Latchkey password");
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
    assert_eq!(app.user("ada@example.com").await.password_hash, before);
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    assert!(
        !html.contains("type=\"password\"") && !html.contains("argon2"),
        "{html}"
    );
}

#[tokio::test]
async fn one_session_is_ended_and_the_others_go_on() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let first = app.logged_in_user("ada@example.com").await;
    app.advance_clock(chrono::TimeDelta::seconds(1));
    let second = app.login("ada@example.com", PASSWORD).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id;
    // The newest comes first.
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

#[tokio::test]
async fn a_mail_is_shown_without_its_code_sent_again_and_cancelled() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let (_, code) = app.request_reset("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let newest = mail::list(&app.database.db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let path = format!("/admin/mails/{}/", newest.id);
    let html = root.get_html(&path).await;
    assert!(html.contains("······ is your Latchkey code"), "{html}");
    assert!(!html.contains(&code), "{html}");
    let page = root.post(&path, &[("act", "retry")]).await;
    assert_eq!(page.status, 409, "what was sent is not sent again");

    app.register("grace@example.com").await;
    let waiting = mail::list(&app.database.db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let path = format!("/admin/mails/{}/", waiting.id);
    let state = || async {
        mail::find(&app.database.db, waiting.id)
            .await
            .unwrap()
            .unwrap()
            .state
    };
    root.submit(&path, &[("act", "cancel")]).await;
    assert_eq!(state().await, MailState::Cancelled);
    assert_eq!(root.post(&path, &[("act", "cancel")]).await.status, 409);
    let html = root
        .get_html("/admin/mails/?state=cancelled&to=GRACE@example.com")
        .await;
    assert!(html.contains("cancelled by an operator"), "{html}");
    root.submit(&path, &[("act", "retry")]).await;
    assert_eq!(state().await, MailState::Queued);
    assert_eq!(app.mails_to("grace@example.com").await.len(), 1);
    let details: Vec<_> = events(&app)
        .await
        .into_iter()
        .filter_map(|event| event.detail)
        .collect();
    assert!(
        details[0].ends_with("sent again") && details[1].ends_with("cancelled"),
        "{details:?}"
    );
}

#[tokio::test]
async fn who_is_held_by_a_limit_is_seen_and_let_go() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "2"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    assert!(
        root.get_html("/admin/limits/")
            .await
            .contains("No active lockouts")
    );
    for _ in 0..3 {
        app.try_login("ada@example.com", "wrong password").await;
    }
    assert_eq!(app.try_login("ada@example.com", PASSWORD).await.status, 429);
    let id = app.user("ada@example.com").await.id;
    let html = root.get_html("/admin/limits/").await;
    assert!(
        html.contains(&format!("href=\"/admin/users/{id}/\"")) && html.contains("failed logins"),
        "{html}"
    );
    assert!(
        root.get_html("/admin/")
            .await
            .contains("<strong>1</strong> active lockouts")
    );
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    assert!(html.contains("Locked out until"), "{html}");
    let name = field_value(&html, "name");
    root.submit(
        "/admin/limits/release/",
        &[("name", &name), ("back", "/admin/limits/")],
    )
    .await;
    assert!(
        root.get_html("/admin/limits/")
            .await
            .contains("No active lockouts")
    );
    assert!(
        app.try_login("ada@example.com", PASSWORD)
            .await
            .status
            .is_success()
    );
    assert_eq!(
        events(&app).await[0].detail.as_deref(),
        Some("unlocked: failed_attempts")
    );
    let page = root
        .post("/admin/limits/release/", &[("name", &name)])
        .await;
    assert_eq!(page.status, 404);
}

#[tokio::test]
async fn the_page_of_the_log_finds_a_broken_chain() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    root.submit("/admin/users/bulk/", &[("id", &id), ("act", "activate")])
        .await;
    let html = root
        .get_html(&format!("/admin/audit/?user={id}&event=authz_admin"))
        .await;
    assert_eq!(html.matches("data-label=\"#\">").count(), 1, "{html}");
    assert!(html.contains("is_activated: false → true"), "{html}");
    let page = root.post("/admin/audit/verify/", &[]).await;
    assert!(
        page.html.contains("The audit log is intact"),
        "{}",
        page.html
    );
    drop_triggers(&app).await;
    let forged = "UPDATE audit_events SET changes = 'none' WHERE changes IS NOT NULL";
    execute(&app, forged).await.unwrap();
    let page = root.post("/admin/audit/verify/", &[]).await;
    assert!(page.html.contains("was altered"), "{}", page.html);
}

#[tokio::test]
async fn resets_are_only_to_look_at() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    app.post(
        "/auth/email_request/",
        serde_json::json!({"email": "nobody@example.com"}),
    )
    .await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/resets/").await;
    assert!(html.contains("ada@example.com") && html.contains("nobody@example.com"));
    assert!(html.contains("no known account") && html.contains("Open"));
    for secret in [&token, &code] {
        assert!(!html.contains(secret.as_str()));
    }
    assert_eq!(root.post("/admin/resets/", &[]).await.status, 405);
}

#[tokio::test]
async fn only_who_is_held_is_released_and_superusers_by_superusers_alone() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "2"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    app.create_superuser("second@example.com").await;
    app.create_staff("staff@example.com", "change_users").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    // Once does not hold yet, and so is nobody's to forget.
    app.try_login("second@example.com", "wrong password").await;
    let keys = app.redis.keys().await;
    let counter = keys
        .iter()
        .find(|key| key.contains(":limit:failed_attempts:"))
        .unwrap();
    let name = counter.split_once(":limit:").unwrap().1;
    for name in [name, "held", ""] {
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
    let refused = Filter {
        event: Some("authz_fail".to_owned()),
        ..Filter::default()
    };
    assert_eq!(
        audit::list(&app.database.db, refused, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    root.submit("/admin/limits/release/", &[("name", name)])
        .await;
    assert!(
        app.try_login("second@example.com", PASSWORD)
            .await
            .status
            .is_success()
    );
}

/// A form or a call that names a version to come would be judged by an account that is not the one it changes.
#[tokio::test]
async fn a_version_that_is_not_there_yet_is_refused() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let next = (app.user("ada@example.com").await.version + 1).to_string();
    let mut fields = edited(&root, &app, "ada@example.com", &[("username", "Eve")]).await;
    fields[0].1 = next;
    assert_eq!(
        save(&root, &app, "ada@example.com", &fields).await.status,
        409
    );
    assert_eq!(app.user("ada@example.com").await.username.as_str(), "Ada");
}
