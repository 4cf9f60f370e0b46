//! `ACTIVATION=email`: account owners activate their accounts with a mailed code.

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

/// Registers an account and returns its activation token and the mailed code.
async fn register(app: &TestApp, email: &str) -> (String, String) {
    let token = app.register(email).await.text("/activation_token");
    (token, last_code(app, email).await)
}

async fn last_code(app: &TestApp, email: &str) -> String {
    let mails = app.mails_to(email).await;
    code_in(mails.last().expect("a mail with a code"))
}

/// An administrator's decision on the activation of an account.
fn activation_decision(is_activated: bool) -> staff::Change {
    staff::Change {
        is_activated: Some(is_activated),
        ..staff::Change::default()
    }
}

async fn apply_change(app: &TestApp, email: &str, change: staff::Change) {
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
    assert_eq!(mails.len(), 1, "only the code is mailed");
    let code = code_in(&mails[0]);
    assert!(mails[0].text.contains("to activate your account"));
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
    let activation_event = events.unwrap().into_iter().find(|event| {
        event.event == "user_updated" && event.detail.as_deref() == Some("activation")
    });
    assert!(activation_event.is_some());
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

/// The views of an administrator on the account `ada@example.com`.
struct AdminViews<'a> {
    app: &'a TestApp,
    dashboard: Dashboard,
    access: String,
    /// Path of the account, below `/admin` and `/api/admin`.
    path: String,
}

impl<'a> AdminViews<'a> {
    async fn register_ada(app: &'a TestApp) -> Self {
        app.create_superuser("root@example.com").await;
        app.register("ada@example.com").await;
        Self {
            app,
            dashboard: Dashboard::signed_in(app, "root@example.com").await,
            access: app.login("root@example.com", PASSWORD).await.access,
            path: format!("/users/{}/", app.user("ada@example.com").await.id),
        }
    }

    async fn get_api(&self, path: &str) -> Value {
        let request = self.app.request(Method::GET, &format!("/api/admin{path}"));
        self.app.send(request.bearer_auth(&self.access)).await.body
    }

    /// Asserts that the API, the CSV export and the command agree on the account.
    async fn assert_pending_verification(&self, expected: bool) {
        let user = self.get_api(&self.path).await;
        assert_eq!(user["pending_email_verification"], expected);
        let csv = self.dashboard.get_html("/admin/users/export/?q=ada").await;
        let header = ",is_activated,pending_email_verification,is_active,";
        assert!(csv.contains(header), "{csv}");
        let flags = if expected {
            ",no,yes,yes,no,no,"
        } else {
            ",no,no,yes,no,no,"
        };
        assert!(csv.contains(flags), "{csv}");
        let (_, json) = self
            .app
            .process(&["users", "list", "--json"])
            .output()
            .await;
        let is_listed = json.contains("\"pending_email_verification\": true");
        assert_eq!(is_listed, expected, "{json}");
    }

    /// Asserts the number of accounts on a page of the list, and in the API by the same filter.
    async fn assert_count(&self, query: &str, filter: bool, expected: usize) {
        let page = format!("/admin/users/?{query}");
        let html = self.dashboard.get_html(&page).await;
        let results = format!("Results: <strong>{expected}<");
        assert!(html.contains(&results), "{query}: {html}");
        let path = format!("/users/?activated=false&pending_email_verification={filter}");
        let users = self.get_api(&path).await["users"].as_array().map(Vec::len);
        assert_eq!(users, Some(expected), "{query}");
    }
}

/// Administrators see which accounts are pending verification, apart from those pending approval.
#[tokio::test]
async fn pending_verification_is_shown_in_all_admin_views() {
    let app = start().await;
    let views = AdminViews::register_ada(&app).await;
    views.assert_pending_verification(true).await;
    for path in ["/admin/users/", &format!("/admin{}", views.path)] {
        let html = views.dashboard.get_html(path).await;
        assert!(html.contains("Pending verification"), "{path}: {html}");
    }
    let home = views.dashboard.get_html("/admin/").await;
    let link = "<a href=\"/admin/users/?status=pending_verification\">Pending verification</a> <span class=\"count\">1<";
    assert!(home.contains(link), "{home}");
    assert!(
        home.contains("No accounts are pending approval.") && !home.contains("ada@example.com"),
        "{home}"
    );
    let query = "status=pending_verification";
    views.assert_count(query, true, 1).await;
    let query = "status=pending_approval";
    views.assert_count(query, false, 0).await;
    for (query, expected) in [("status=deactivated", 0), ("status=active", 1)] {
        let html = views
            .dashboard
            .get_html(&format!("/admin/users/?{query}"))
            .await;
        let results = format!("Results: <strong>{expected}<");
        assert!(html.contains(&results), "{query}: {html}");
    }
    let users = views.dashboard.get_html("/admin/users/").await;
    assert!(
        users.contains("Pending verification <span class=\"badge\">1<")
            && users.contains("Pending approval <span class=\"badge\">0<"),
        "{users}"
    );
}

/// An account that an administrator has activated and taken back is pending approval.
#[tokio::test]
async fn activation_taken_back_by_staff_leaves_pending_approval() {
    let app = start().await;
    let views = AdminViews::register_ada(&app).await;
    for is_activated in [true, false] {
        apply_change(&app, "ada@example.com", activation_decision(is_activated)).await;
    }
    views.assert_pending_verification(false).await;
    for path in ["/admin/", "/admin/users/", &format!("/admin{}", views.path)] {
        let html = views.dashboard.get_html(path).await;
        assert!(!html.contains("Pending verification"), "{path}: {html}");
    }
    let home = views.dashboard.get_html("/admin/").await;
    assert!(home.contains("ada@example.com"), "{home}");
    let query = "status=pending_verification";
    views.assert_count(query, true, 0).await;
    views
        .assert_count("status=pending_approval", false, 1)
        .await;
}

/// A password reset proves the mailbox, so it activates an account that is pending verification, and no other.
#[tokio::test]
async fn password_reset_activates_only_account_pending_verification() {
    let app = start().await;
    let email = |name: &str| format!("{name}@example.com");
    for name in ["pending", "refused", "approval"] {
        app.register(&email(name)).await;
    }
    apply_change(&app, &email("refused"), activation_decision(true)).await;
    apply_change(&app, &email("refused"), activation_decision(false)).await;
    // As if it had been registered with `ACTIVATION=admin`.
    let row = user::ActiveModel {
        id: sea_orm::Set(app.user(&email("approval")).await.id),
        pending_email_verification: sea_orm::Set(false),
        ..Default::default()
    };
    user::Entity::update(row)
        .exec(&app.database.db)
        .await
        .unwrap();

    for (name, status) in [("pending", 200), ("refused", 403), ("approval", 403)] {
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
    let rename = || staff::Change {
        profile: ProfileChange {
            username: Some("Countess".parse().unwrap()),
            ..ProfileChange::default()
        },
        is_activated: Some(false),
        ..staff::Change::default()
    };
    let email_change = staff::Change {
        profile: ProfileChange {
            email: Some("new@example.com".parse().unwrap()),
            ..ProfileChange::default()
        },
        ..staff::Change::default()
    };
    let cases = [
        ("rename", vec![rename()], 200),
        (
            "back",
            vec![activation_decision(true), activation_decision(false)],
            400,
        ),
        ("email_change", vec![email_change], 400),
    ];
    for (name, changes, status) in cases {
        let email = format!("{name}@example.com");
        let (token, code) = register(&app, &email).await;
        let id = app.user(&email).await.id;
        for one in changes {
            apply_change(&app, &email, one).await;
        }
        let answer = activate(&app, &token, &code).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        let user = user::find(&app.database.db, id).await.unwrap().unwrap();
        assert_eq!(user.is_activated, status == 200, "{name}");
    }

    let (token, code) = register(&app, "deactivated@example.com").await;
    app.deactivate("deactivated@example.com").await;
    let deactivated = activate(&app, &token, &code).await;
    deactivated.assert_problem(400, "invalid-otp");
    let reactivated = staff::Change {
        is_active: Some(true),
        ..staff::Change::default()
    };
    apply_change(&app, "deactivated@example.com", reactivated).await;
    let reactivated = activate(&app, &token, &code).await;
    reactivated.assert_problem(400, "invalid-otp");
    assert!(!app.user("deactivated@example.com").await.is_activated);
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
