//! `PENDING_ACCOUNT_DAYS`: accounts whose owners have never verified their emails are removed.

use chrono::TimeDelta;
use latchkey_api::accounts::unverified_accounts;
use latchkey_shared::models::{
    audit, imported_user,
    user::{self, staff},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    support::test_app::{PASSWORD, TestApp, code_in, registration},
};

const EMAIL: &str = "ada@example.com";

async fn start(more: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("ACTIVATION", "email")], more].concat()).await
}

/// Removes the accounts that are due, as an API server does once a minute. Returns the metric of that server.
async fn remove_due(app: &TestApp) -> u64 {
    let server = app.another_server().await;
    unverified_accounts::remove_due(&server).await.unwrap();
    server.rows_removed.with_label_values(&["accounts"]).get()
}

async fn exists(app: &TestApp, email: &str) -> bool {
    let found = user::find_by_email(&app.database.db, &email.parse().unwrap()).await;
    found.unwrap().is_some()
}

/// An account is removed 30 days after its registration, with its picture, and the email can be registered again.
#[tokio::test]
async fn unverified_account_is_removed_after_30_days() {
    let app = start(&[]).await;
    let mut form = registration(EMAIL);
    form["image"] = json!(data_url(&png(8, 8)));
    let answer = app.post("/api/register/", form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let (id, token) = (app.user(EMAIL).await.id, answer.text("/activation_token"));
    assert_eq!(app.pictures().len(), 1);
    app.advance_clock(TimeDelta::days(30));
    remove_due(&app).await;
    assert!(exists(&app, EMAIL).await);

    app.advance_clock(TimeDelta::seconds(1));
    assert_eq!(remove_due(&app).await, 1);

    assert!(!exists(&app, EMAIL).await);
    assert!(app.pictures().is_empty());
    let events = audit::list_by_user(&app.database.db, id, 10).await.unwrap();
    assert_eq!(events[0].event, "user_deleted");
    assert_eq!(events[0].detail.as_deref(), Some("never verified"));
    assert_eq!(events[0].actor, "operator");
    let resend = app.post("/auth/activate/resend/", json!({"token": token}));
    resend.await.assert_problem(400, "invalid-reset-token");

    let again = app.register(EMAIL).await.text("/activation_token");
    let mails = app.mails_to(EMAIL).await;
    let code = code_in(mails.last().unwrap());
    let body = json!({"token": again, "otp": code});
    assert_eq!(app.post("/auth/activate/", body).await.status, 200);
    app.login(EMAIL, PASSWORD).await;
}

/// Verified, approved, rejected and deactivated accounts stay, as do staff and accounts that were used.
#[tokio::test]
async fn other_accounts_are_not_removed() {
    let app = start(&[]).await;
    let emails = [
        "verified",
        "approved",
        "rejected",
        "deactivated",
        "staff",
        "used",
    ];
    let emails = emails.map(|name| format!("{name}@example.com"));
    for email in &emails {
        app.register(email).await;
    }
    let [verified, approved, rejected, deactivated, staff, used] = &emails;
    app.complete_reset(verified, PASSWORD).await;
    app.activate(approved).await;
    app.activate(rejected).await;
    for (email, change) in [
        (
            rejected,
            staff::Change {
                is_activated: Some(false),
                ..staff::Change::default()
            },
        ),
        (
            staff,
            staff::Change {
                is_staff: Some(true),
                ..staff::Change::default()
            },
        ),
    ] {
        let seen = app.user(email).await;
        let changed = staff::change(&app.database.db, &seen, change, app.clock.now()).await;
        assert!(changed.unwrap().is_some());
    }
    app.deactivate(deactivated).await;
    user::Entity::update_many()
        .col_expr(user::Column::LastLoginAt, Expr::value(app.clock.now()))
        .filter(user::Column::Id.eq(app.user(used).await.id))
        .exec(&app.database.db)
        .await
        .unwrap();

    app.advance_clock(TimeDelta::days(400));
    remove_due(&app).await;

    for email in &emails {
        assert!(exists(&app, email).await, "{email}");
    }
}

/// The days of an imported account count from its import, as it may have been created long before.
#[tokio::test]
async fn imported_account_is_removed_days_after_import() {
    let app = start(&[("PENDING_ACCOUNT_DAYS", "7")]).await;
    app.register(EMAIL).await;
    app.advance_clock(TimeDelta::days(20));
    app.mark_imported(EMAIL, imported_user::DJANGO).await;
    app.advance_clock(TimeDelta::days(7));
    remove_due(&app).await;
    assert!(exists(&app, EMAIL).await);

    app.advance_clock(TimeDelta::seconds(1));
    remove_due(&app).await;

    assert!(!exists(&app, EMAIL).await);
}

/// With `PENDING_ACCOUNT_DAYS=0`, or another `ACTIVATION`, no account is removed.
#[tokio::test]
async fn unverified_accounts_stay_if_removal_is_off() {
    for settings in [
        [("ACTIVATION", "email"), ("PENDING_ACCOUNT_DAYS", "0")],
        [("ACTIVATION", "admin"), ("PENDING_ACCOUNT_DAYS", "1")],
    ] {
        let app = TestApp::with(&settings).await;
        app.register(EMAIL).await;
        user::Entity::update_many()
            .col_expr(user::Column::PendingEmailVerification, Expr::value(true))
            .exec(&app.database.db)
            .await
            .unwrap();
        app.advance_clock(TimeDelta::days(4000));

        remove_due(&app).await;

        assert!(exists(&app, EMAIL).await, "{settings:?}");
    }
}

/// Several servers remove an account once.
#[tokio::test]
async fn concurrent_removals_record_one_event() {
    let app = start(&[]).await;
    app.register(EMAIL).await;
    let id = app.user(EMAIL).await.id;
    app.advance_clock(TimeDelta::days(31));

    tokio::join!(remove_due(&app), remove_due(&app), remove_due(&app));

    let events = audit::list_by_user(&app.database.db, id, 10).await.unwrap();
    let deletions = events.iter().filter(|event| event.event == "user_deleted");
    assert_eq!(deletions.count(), 1);
}
