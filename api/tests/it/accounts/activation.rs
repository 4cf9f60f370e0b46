//! `ACTIVATION=email`: owners let their accounts in by a code that is mailed.

use futures_util::future::join_all;
use latchkey_shared::models::{
    audit,
    user::{self, profile::ProfileChange, staff},
};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use crate::{
    support::dashboard::Dashboard,
    support::test_app::{ApiResponse, PASSWORD, TestApp, code_in, registration, wrong_code},
};

const NEW: &str = "another quiet morning";

async fn start() -> TestApp {
    TestApp::with(&[("ACTIVATION", "email")]).await
}

async fn activate(app: &TestApp, token: &str, otp: &str) -> ApiResponse {
    app.post("/auth/activate/", json!({"token": token, "otp": otp}))
        .await
}

/// Registers; the token of the answer and the code that was mailed.
async fn register(app: &TestApp, email: &str) -> (String, String) {
    let token = app.register(email).await.text("/activation_token");
    (token, last_code(app, email).await)
}

async fn last_code(app: &TestApp, email: &str) -> String {
    let mails = app.mails_to(email).await;
    code_in(mails.last().expect("a mail with a code"))
}

/// An administrator's word on whether somebody is let in.
fn decided(is_activated: bool) -> staff::Change {
    staff::Change {
        is_activated: Some(is_activated),
        ..staff::Change::default()
    }
}

async fn change(app: &TestApp, email: &str, change: staff::Change) {
    let seen = app.user(email).await;
    let changed = staff::change(&app.database.db, &seen, change, app.clock.now()).await;
    assert!(changed.unwrap().is_some());
}

/// The owner activates the account with the mailed code, which is valid once.
#[tokio::test]
async fn activation_code_activates_account_once() {
    let app = start().await;
    let made = app.register("Ada@Example.com").await;
    assert_eq!(made.body["is_activated"], false);
    let token = made.text("/activation_token");
    let mails = app.mails_to("Ada@Example.com").await;
    assert_eq!(mails.len(), 1, "a code, and no welcome beside it");
    let code = code_in(&mails[0]);
    assert!(mails[0].text.contains("activates your account"));
    let early = app.try_login("ada@example.com", PASSWORD).await;
    early.assert_problem(403, "not-activated");

    let wrong = activate(&app, &token, &wrong_code(&code)).await;
    wrong.assert_problem(400, "invalid-otp");
    let answer = activate(&app, &token, &code).await;
    assert_eq!(
        answer.body,
        json!({"message": "The account has been activated."})
    );
    app.login("ada@example.com", PASSWORD).await;
    let again = activate(&app, &token, &code).await;
    again.assert_problem(400, "invalid-otp");

    let user = app.user("ada@example.com").await;
    assert!(user.is_activated && !user.pending_email_verification);
    let events = audit::list_by_user(&app.database.db, user.id, 9).await;
    let noted = events.unwrap().into_iter().find(|event| {
        event.event == "user_updated" && event.detail.as_deref() == Some("activation")
    });
    assert!(noted.is_some());
}

/// With other values of `ACTIVATION` there is no activation token and no endpoint for it.
#[tokio::test]
async fn activation_endpoint_in_other_modes_returns_404() {
    for mode in ["admin", "none"] {
        let app = TestApp::with(&[("ACTIVATION", mode)]).await;
        let made = app.register("ada@example.com").await;
        assert!(!made.keys().contains(&"activation_token"), "{mode}");
        activate(&app, "a token", "123456")
            .await
            .assert_problem(404, "not-found");
    }
}

/// Administrators see which accounts are pending verification by their owners.
#[tokio::test]
async fn pending_verification_is_shown_in_all_admin_views() {
    let app = start().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let page = format!("/admin/users/{id}/");
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    let told = async || {
        let path = format!("/api/admin/users/{id}/");
        let request = app.request(Method::GET, &path).bearer_auth(&access);
        app.send(request).await.body["pending_email_verification"].clone()
    };
    // Of the export and the command the same.
    let listed = async || {
        let csv = root.get_html("/admin/users/export/?q=ada").await;
        let (_, json) = app.process(&["users", "list", "--json"]).output().await;
        (csv, json.contains("\"pending_email_verification\": true"))
    };
    assert_eq!(told().await, true);
    let (csv, is_listed) = listed().await;
    assert!(
        csv.contains(",is_activated,pending_email_verification,is_active,"),
        "{csv}"
    );
    assert!(csv.contains(",no,yes,yes,no,no,") && is_listed, "{csv}");
    // How many are on a page of the list, and by the same filter of the call.
    let found = async |query: &str, filter: &str| {
        let html = root.get_html(&format!("/admin/users/?{query}")).await;
        let path = format!("/api/admin/users/?activated=false&pending_email_verification={filter}");
        let request = app.request(Method::GET, &path).bearer_auth(&access);
        let users = app.send(request).await.body["users"]
            .as_array()
            .map(Vec::len);
        let count = html
            .split("Results: <strong>")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        assert_eq!(
            count,
            users.map(|users| users.to_string()).as_deref(),
            "{query}: {html}"
        );
        users
    };
    for path in ["/admin/users/", &page] {
        let html = root.get_html(path).await;
        assert!(html.contains("Pending verification"), "{path}: {html}");
    }
    // Whoever never reads the mail is in nobody's way, and not forgotten.
    let home = root.get_html("/admin/").await;
    let link = "<a href=\"/admin/users/?activated=pending_verification&amp;sort=joined\">Pending verification</a> <span class=\"count\">1<";
    assert!(home.contains(link), "{home}");
    assert!(
        home.contains("No accounts are pending approval.") && !home.contains("ada@example.com"),
        "{home}"
    );
    assert_eq!(
        found("activated=pending_verification&sort=joined", "true").await,
        Some(1)
    );
    assert_eq!(
        found("activated=pending_approval&sort=joined", "false").await,
        Some(0)
    );
    // Nobody who was shut waits.
    let shut = root
        .get_html("/admin/users/?activated=pending_verification&active=no")
        .await;
    assert!(shut.contains("Results: <strong>0<"), "{shut}");
    let users = root.get_html("/admin/users/").await;
    assert!(
        users.contains("Pending verification (1)") && users.contains("Pending approval (0)"),
        "{users}"
    );

    // Let in and taken back by an administrator, it waits for administrators.
    for is_activated in [true, false] {
        change(&app, "ada@example.com", decided(is_activated)).await;
    }
    assert_eq!(told().await, false);
    let (csv, is_listed) = listed().await;
    assert!(csv.contains(",no,no,yes,no,no,") && !is_listed, "{csv}");
    for path in ["/admin/", "/admin/users/", &page] {
        let html = root.get_html(path).await;
        assert!(!html.contains("Pending verification"), "{path}: {html}");
    }
    assert!(root.get_html("/admin/").await.contains("ada@example.com"));
    assert_eq!(
        found("activated=pending_verification", "true").await,
        Some(0)
    );
    assert_eq!(found("activated=pending_approval", "false").await, Some(1));
}

/// A password reset proves the mailbox, so it activates an account that is pending verification, and no other.
#[tokio::test]
async fn password_reset_activates_only_account_pending_verification() {
    let app = start().await;
    let email = |name: &str| format!("{name}@example.com");
    for name in ["waiting", "refused", "staffs"] {
        app.register(&email(name)).await;
    }
    change(&app, &email("refused"), decided(true)).await;
    change(&app, &email("refused"), decided(false)).await;
    // As if it had been made while administrators decided.
    let row = user::ActiveModel {
        id: sea_orm::Set(app.user(&email("staffs")).await.id),
        pending_email_verification: sea_orm::Set(false),
        ..Default::default()
    };
    user::Entity::update(row)
        .exec(&app.database.db)
        .await
        .unwrap();

    for (name, status) in [("waiting", 200), ("refused", 403), ("staffs", 403)] {
        app.complete_reset(&email(name), NEW).await;
        let answer = app.try_login(&email(name), NEW).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
}

/// A stranger who registers with the owner's email cannot log in after the owner resets the password.
#[tokio::test]
async fn stranger_password_is_unusable_after_owner_resets_it() {
    for privacy in ["on", "off"] {
        let more = [("ACTIVATION", "email"), ("REGISTRATION_PRIVACY", privacy)];
        let app = TestApp::with(&more).await;
        let mut form = registration("ada@example.com");
        form["password"] = json!("a stranger's own words");
        let first = app.post("/api/register/", form.clone()).await;
        assert_eq!(first.status, 201);
        let code = last_code(&app, "ada@example.com").await;

        let second = app.post("/api/register/", registration("ada@example.com"));
        let second = second.await;
        if privacy == "on" {
            let token = second.text("/activation_token");
            activate(&app, &token, &code)
                .await
                .assert_problem(400, "invalid-otp");
        } else {
            second.assert_problem(409, "email-taken");
        }
        app.complete_reset("ada@example.com", NEW).await;

        app.login("ada@example.com", NEW).await;
        let stranger = app
            .try_login("ada@example.com", "a stranger's own words")
            .await;
        assert_eq!(stranger.status, 401, "{privacy}");
    }
}

/// An activation code cannot reset a password, and a reset code cannot activate an account.
#[tokio::test]
async fn activation_and_reset_codes_are_not_interchangeable() {
    let app = start().await;
    let (token, code) = register(&app, "ada@example.com").await;
    let (reset, reset_code) = app.request_reset("ada@example.com").await;

    let crossed = app.check_otp(&token, &code).await;
    crossed.assert_problem(400, "invalid-otp");
    let crossed = activate(&app, &reset, &reset_code).await;
    crossed.assert_problem(400, "invalid-otp");
    assert_eq!(app.check_otp(&reset, &reset_code).await.status, 200);
    let crossed = app.reset_password(&token, NEW).await;
    crossed.assert_problem(400, "invalid-reset-token");

    assert!(!app.user("ada@example.com").await.is_activated);
    assert_eq!(activate(&app, &token, &code).await.status, 200);
    let used = app.reset_password(&token, NEW).await;
    used.assert_problem(400, "invalid-reset-token");
}

/// A decision of an administrator or a new email voids the mailed activation code.
#[tokio::test]
async fn activation_code_expires_with_staff_or_email_change() {
    let app = start().await;
    let renamed = || staff::Change {
        profile: ProfileChange {
            username: Some("Countess".parse().unwrap()),
            ..ProfileChange::default()
        },
        is_activated: Some(false),
        ..staff::Change::default()
    };
    let moved = staff::Change {
        profile: ProfileChange {
            email: Some("new@example.com".parse().unwrap()),
            ..ProfileChange::default()
        },
        ..staff::Change::default()
    };
    let cases = [
        ("renamed", vec![renamed()], 200),
        ("back", vec![decided(true), decided(false)], 400),
        ("moved", vec![moved], 400),
    ];
    for (name, changes, status) in cases {
        let email = format!("{name}@example.com");
        let (token, code) = register(&app, &email).await;
        let id = app.user(&email).await.id;
        for one in changes {
            change(&app, &email, one).await;
        }
        let answer = activate(&app, &token, &code).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        let user = user::find(&app.database.db, id).await.unwrap().unwrap();
        assert_eq!(user.is_activated, status == 200, "{name}");
    }

    let (token, code) = register(&app, "shut@example.com").await;
    app.deactivate("shut@example.com").await;
    let shut = activate(&app, &token, &code).await;
    shut.assert_problem(400, "invalid-otp");
    let reopened = staff::Change {
        is_active: Some(true),
        ..staff::Change::default()
    };
    change(&app, "shut@example.com", reopened).await;
    let reopened = activate(&app, &token, &code).await;
    reopened.assert_problem(400, "invalid-otp");
    assert!(!app.user("shut@example.com").await.is_activated);
}

/// O3: Five wrong attempts void an activation code.
#[tokio::test]
async fn activation_code_after_five_wrong_attempts_is_rejected() {
    let app = start().await;
    let (token, code) = register(&app, "ada@example.com").await;
    let wrong = wrong_code(&code);
    let guesses = join_all((0..5).map(|_| activate(&app, &token, &wrong))).await;
    for guess in guesses {
        guess.assert_problem(400, "invalid-otp");
    }
    let late = activate(&app, &token, &code).await;
    late.assert_problem(400, "invalid-otp");
    assert!(!app.user("ada@example.com").await.is_activated);
}

/// Two concurrent requests with the code activate the account once.
#[tokio::test]
async fn concurrent_activations_succeed_once() {
    let app = start().await;
    let (token, code) = register(&app, "ada@example.com").await;
    let mut statuses: Vec<_> = join_all((0..2).map(|_| activate(&app, &token, &code)))
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(app.user("ada@example.com").await.version, 1);
}

/// With `REGISTRATION_PRIVACY=on`, the activation token for a taken email looks and behaves like any other.
#[tokio::test]
async fn activation_token_for_taken_email_is_indistinguishable() {
    let more = [
        ("ACTIVATION", "email"),
        ("REGISTRATION_PRIVACY", "on"),
        ("LIMIT_OTP_EMAIL", "3/86400"),
    ];
    let app = TestApp::with(&more).await;
    let (new, code) = register(&app, "ada@example.com").await;
    let taken = app.post("/api/register/", registration("ada@example.com"));
    let taken = taken.await;
    assert_eq!(taken.status, 201);
    let other = taken.text("/activation_token");
    assert!(other != new && other.len() == new.len());
    app.deliver_all().await;

    let plain = |answer: ApiResponse| {
        let mut body: Value = answer.body;
        body["instance"] = json!(null);
        (answer.status.as_u16(), body)
    };
    let wrong = plain(activate(&app, &new, &wrong_code(&code)).await);
    assert_eq!(plain(activate(&app, &other, &code).await), wrong);
    assert!(!app.user("ada@example.com").await.is_activated);
    assert_eq!(activate(&app, &new, &code).await.status, 200);
}
