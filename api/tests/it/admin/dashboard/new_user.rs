//! The form that creates accounts, and invitations.

use latchkey_shared::models::mail::MailState;

use super::newest_mail;
use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, Page, assert_contains, assert_not_contains, field_value},
        test_app::{PASSWORD, TestApp},
    },
};

const PATH: &str = "/admin/users/add/";

/// Submits the form for ada@example.com with these further fields.
async fn add(dashboard: &Dashboard, fields: &[(&str, &str)]) -> Page {
    let account = [("email", "ada@example.com"), ("username", "Ada")];
    dashboard
        .post(PATH, &[account.as_slice(), fields].concat())
        .await
}

/// An account with a password that staff chose is active at once, and its owner gets a mail. L1: the event has no personal data.
#[tokio::test]
async fn created_account_with_password_is_active() {
    let app = TestApp::new().await;
    app.create_staff("staff@example.com", "add_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    assert_contains(&staff.get_html("/admin/users/").await, PATH);
    let fields = [
        ("phoneNumber", "+201001234567"),
        ("dateBirth", "1990-02-28"),
        ("gender", "female"),
        ("access", "password"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];

    let page = add(&staff, &fields).await;

    assert_eq!(staff.follow(&page).await, "User created.");
    let user = app.user("ada@example.com").await;
    assert_eq!(page.location(), format!("/admin/users/{}/", user.id));
    assert!(user.is_activated && user.is_active && !user.is_staff && !user.is_superuser);
    assert_eq!(user.phone_number.unwrap().to_string(), "+201001234567");
    assert_eq!(user.date_birth.unwrap().to_string(), "1990-02-28");
    assert_eq!(user.gender.unwrap().to_string(), "female");
    app.login("ada@example.com", PASSWORD).await;
    let mails = app.mails_to("ada@example.com").await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "Your Latchkey account is active");
    let events = admin_events(&app).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].user_id, Some(user.id));
    assert_eq!(events[0].detail.as_deref(), Some("created"));
    assert_not_contains(&format!("{events:?}"), "ada@");
}

/// The form validates like a registration, names each invalid field, and keeps the input except for passwords.
#[tokio::test]
async fn new_user_form_error_keeps_input() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let invalid = [
        ("email", "ada@example"),
        ("username", "Kept"),
        ("phoneNumber", "12"),
        ("dateBirth", "2990-01-01"),
        ("access", "password"),
        ("password", "password"),
        ("password_again", "another"),
    ];
    let page = root.post(PATH, &invalid).await;
    assert_eq!(page.status, 400);
    for (name, entered) in invalid {
        let has_error = page.html.contains(&format!("id=\"e-{name}\""));
        assert_eq!(has_error, !["username", "access"].contains(&name), "{name}");
        if !["access", "password", "password_again"].contains(&name) {
            assert_eq!(field_value(&page.html, name), entered);
        }
    }
    assert_contains(&page.html, "value=\"password\" checked");
    for name in ["password", "password_again"] {
        let id = format!("id=\"f-{name}\"");
        let (_, field) = page.html.split_once(&id).unwrap();
        assert_eq!(field_value(field, name), "");
    }

    let similar = [
        ("access", "password"),
        ("password", "ada@example.com"),
        ("password_again", "ada@example.com"),
    ];
    let page = add(&root, &similar).await;
    assert_eq!(page.status, 400);
    assert_contains(&page.html, "id=\"e-password\"");
    let page = add(&root, &[("access", "magic")]).await;
    assert_eq!(page.status, 400);
    assert_eq!(add(&root, &[("access", "none")]).await.status, 303);
    let taken = [("email", "ADA@example.com"), ("username", "Ada")];
    let page = root
        .post(PATH, &[&taken[..], &[("access", "none")]].concat())
        .await;
    assert_eq!(page.status, 409);
    assert_contains(&page.html, "id=\"e-email\"");
}

/// M4: an invited person gets no secret by mail, and activates the account by a password reset. Until then, no password works.
#[tokio::test]
async fn invited_owner_sets_password_and_activates() {
    let app = TestApp::new().await;
    app.create_staff("staff@example.com", "add_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    // A password that was typed before the choice of an invitation is not used.
    let fields = [("access", "invite"), ("password", PASSWORD)];
    let page = add(&staff, &fields).await;
    let flash = staff.follow(&page).await;
    assert_eq!(flash, "User created. The invitation is on its way.");

    let mails = app.mails_to("ada@example.com").await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "You are invited to Latchkey");
    assert_contains(&mails[0].text, "\"Forgot password\"");
    let html = staff.get_html(page.location()).await;
    assert_contains(&html, "Pending verification");
    for password in [PASSWORD, "another quiet morning"] {
        let answer = app.try_login("ada@example.com", password).await;
        answer.assert_problem(401, "invalid-credentials");
    }

    app.complete_reset("ada@example.com", PASSWORD).await;

    app.login("ada@example.com", PASSWORD).await;
    let user = app.user("ada@example.com").await;
    assert!(user.is_activated && user.email_verified_at.is_some());
    let events = admin_events(&app).await;
    assert_eq!(events[0].detail.as_deref(), Some("created and invited"));
}

/// Staff send an invitation from the page of an account that its owner has yet to activate.
#[tokio::test]
async fn invitation_is_sent_again_until_activation() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let page = add(&root, &[("access", "none")]).await;
    let user_page = page.location().to_owned();
    assert_eq!(app.mails_to("ada@example.com").await.len(), 0);
    let id = app.user("ada@example.com").await.id;
    let back = [("back", user_page.as_str())];
    assert_contains(&root.get_html(&user_page).await, "value=\"invite\"");

    let page = root.bulk("invite", &[id], &back).await;
    assert_eq!(root.follow(&page).await, "The invitation is on its way.");

    assert_eq!(app.mails_to("ada@example.com").await.len(), 1);
    assert_eq!(
        admin_events(&app).await[0].detail.as_deref(),
        Some("invited")
    );
    app.activate("ada@example.com").await;
    assert_not_contains(&root.get_html(&user_page).await, "value=\"invite\"");
    assert_eq!(root.bulk("invite", &[id], &back).await.status, 409);
    assert_eq!(app.mails_to("ada@example.com").await.len(), 1);
}

/// T5: a staff member cannot flood one or many mailboxes.
#[tokio::test]
async fn invitations_are_limited_by_staff_member_and_mailbox() {
    let settings = [
        ("LIMIT_INVITATION", "5/3600"),
        ("LIMIT_MAIL_CAUSE", "3/3600"),
    ];
    let app = TestApp::with(&settings).await;
    let root = Dashboard::superuser(&app).await;
    assert_eq!(add(&root, &[("access", "invite")]).await.status, 303);
    let id = app.user("ada@example.com").await.id;
    for _ in 0..4 {
        assert_eq!(root.bulk("invite", &[id], &[]).await.status, 303);
    }
    assert_eq!(app.mails_to("ada@example.com").await.len(), 3);
    assert_eq!(newest_mail(&app).await.state, MailState::Suppressed);

    let fields = [
        ("email", "grace@example.com"),
        ("username", "Grace"),
        ("access", "none"),
    ];
    let page = root.post(PATH, &fields).await;
    assert_eq!(page.status, 429);
    assert_eq!(page.headers["retry-after"], "3600");
    assert_eq!(field_value(&page.html, "username"), "Grace");
    let back = format!("/admin/users/{id}/");
    let page = root.bulk("invite", &[id], &[("back", &back)]).await;
    assert_eq!(page.status, 429);
    app.create_staff("staff@example.com", "add_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    assert_eq!(staff.post(PATH, &fields).await.status, 303);
}
