//! Concurrent requests that write the same tables: each gets its own result, and none deadlocks.

use std::{collections::BTreeSet, future::Future};

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::{
    database,
    models::{
        audit, mail,
        password_reset::{self, NewReset, Purpose},
        user,
    },
};
use latchkey_testing::{TestDatabase, WAIT_TIMEOUT, wait_until};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _,
};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    dashboard::Dashboard,
    test_app::{ApiResponse, TestApp, Tokens, registration},
};

async fn log_in_many(app: &TestApp, count: usize) -> Vec<Tokens> {
    let mut tokens = Vec::new();
    for number in 0..count {
        let email = format!("user{number}@example.com");
        tokens.push(app.logged_in_user(&email).await);
    }
    tokens
}

/// Returns the indexes of the answers with another status.
fn failures(answers: &[ApiResponse], expected: u16) -> Vec<usize> {
    let numbered = answers.iter().enumerate();
    numbered
        .filter(|(_, answer)| answer.status != expected)
        .map(|(number, _)| number)
        .collect()
}

/// Of two concurrent registrations of one email, one succeeds. Each account gets its own mail and audit event.
#[tokio::test]
async fn concurrent_registrations_each_get_account_mail_and_event() {
    let app = TestApp::new().await;
    let email = |number: usize| format!("user{number}@example.com");

    // Each email twice, the second time in upper case.
    let posts = (0..48).map(|number| {
        let mut form = registration(&email(number % 24));
        if number >= 24 {
            form["email"] = json!(email(number % 24).to_uppercase());
        }
        app.post("/api/register/", form)
    });
    let answers = join_all(posts).await;

    let (db, key) = (&app.database.db, app.database.keys.audit_key());
    assert_eq!(audit::verify(db, &key, None).await.unwrap().seq, 48);
    let mut owners = BTreeSet::new();
    for number in 0..24 {
        let (first, second) = (&answers[number], &answers[number + 24]);
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{number}");
        let created = if first.status == 201 { first } else { second };
        let user = app.user(&email(number)).await;
        assert_eq!(created.text("/email"), user.email.to_string());
        let id = created.headers["x-request-id"].to_str().unwrap();
        let events = audit::list_by_user(db, user.id, 9).await.unwrap();
        let event = events
            .iter()
            .find(|event| event.event == "user_created")
            .unwrap();
        assert_eq!(
            (event.request_id.as_str(), &*event.actor),
            (id, &*format!("user {}", user.id))
        );
        let mails = mail::Entity::find().filter(mail::Column::UserId.eq(user.id));
        let mails = mails.all(db).await.unwrap();
        assert_eq!((mails.len(), mails[0].request_id.as_str()), (1, id));
        assert_eq!(mails[0].recipient, user.email.to_string());
        owners.insert(user.id);
    }
    assert_eq!(owners.len(), 24);
}

/// Requests that the server writes in one batch do not fail because of another one.
#[tokio::test]
async fn failed_reset_request_does_not_fail_its_batch() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    let once = "CREATE UNIQUE INDEX once ON password_resets (email_key)";
    db.execute_unprepared(once).await.unwrap();

    let request = |number: usize| {
        let body = json!({"email": format!("user{}@example.com", number % 19)});
        app.post("/auth/email_request/", body)
    };
    let answers = join_all((0..20).map(request)).await;

    let failed = failures(&answers, 201);
    assert!(failed == [0] || failed == [19], "{failed:?}");
    assert_eq!(answers[failed[0]].status, 500);
    assert_eq!(mail::Entity::find().count(db).await.unwrap(), 19);
}

/// Concurrent changes of one profile change only the fields they name. A deactivated account is not changed.
#[tokio::test]
async fn concurrent_profile_changes_update_only_their_fields() {
    let app = TestApp::new().await;
    let email = |number: usize| format!("user{number}@example.com");
    let owners = log_in_many(&app, 12).await;
    let born = json!({"dateBirth": "1990-02-28", "gender": "female"});
    let all = owners
        .iter()
        .map(|owner| app.patch_user(&owner.access, born.clone()));
    assert!(failures(&join_all(all).await, 200).is_empty());
    app.deactivate(&email(0)).await;

    // Each account twice: username and gender, then the date of birth.
    let changes = (0..24).map(|number| {
        let (owner, name) = (number % 12, format!("Name {number}"));
        let change = if number < 12 {
            json!({"username": name, "gender": null})
        } else {
            json!({"dateBirth": format!("1990-03-{number}")})
        };
        app.patch_user(&owners[owner].access, change)
    });
    let answers = join_all(changes).await;

    for (number, answer) in answers.iter().enumerate() {
        let user = app.user(&email(number % 12)).await;
        if number % 12 == 0 {
            assert_eq!(answer.status, 401, "{number}");
            let born = user.date_birth.unwrap().to_string();
            assert_eq!((user.gender.is_some(), &*born), (true, "1990-02-28"));
            continue;
        }
        assert_eq!(answer.status, 200, "{number}");
        assert_eq!(answer.text("/email"), email(number % 12));
        let (name, day) = (format!("Name {}", number % 12), 12 + number % 12);
        assert_eq!((user.username.as_str(), user.gender), (&*name, None));
        assert_eq!(
            user.date_birth.unwrap().to_string(),
            format!("1990-03-{day}")
        );
        assert_eq!(user.version, 4, "activated and changed three times");
        if number < 12 {
            assert_eq!(answer.text("/username"), name);
        } else {
            assert_eq!(answer.text("/dateBirth"), format!("1990-03-{day}"));
        }
    }
}

/// Profile changes that the server writes in one batch do not fail because of another one.
#[tokio::test]
async fn failed_profile_change_does_not_fail_its_batch() {
    let app = TestApp::new().await;
    let owners = log_in_many(&app, 8).await;
    let once = "CREATE UNIQUE INDEX once ON users (username) WHERE username LIKE 'Name%'";
    app.database.db.execute_unprepared(once).await.unwrap();

    let change = |number: usize| {
        let name = format!("Name {}", number % 7);
        app.patch_user(&owners[number].access, json!({"username": name}))
    };
    let answers = join_all((0..8).map(change)).await;

    let failed = failures(&answers, 200);
    assert!(failed == [0] || failed == [7], "{failed:?}");
}

/// The worker records the owner of a reset without waiting for the lock of the account. Otherwise, a request that locks the
/// account and then ends its resets could deadlock with the worker.
#[tokio::test]
async fn reset_owner_is_recorded_while_account_is_locked() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    app.logged_in_user("ada@example.com").await;
    let reset = reset_of(&app, "ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let unbound = password_reset::ActiveModel {
        id: Set(reset),
        user_id: Set(None),
        ..Default::default()
    };
    password_reset::Entity::update(unbound)
        .exec(db)
        .await
        .unwrap();

    let lock = database::begin(db).await.unwrap();
    user::lock(&lock, id).await.unwrap();
    let bound = async {
        // SQLite has only one writer at a time.
        if app.database.is_postgres() {
            password_reset::bind(db, &[reset]).await
        } else {
            password_reset::bind(&lock, &[reset]).await
        }
    };
    let bound = timeout(WAIT_TIMEOUT, bound)
        .await
        .expect("it waits for the lock");
    lock.commit().await.unwrap();
    assert_eq!(bound.unwrap()[0].user_id, Some(id));
}

/// Requests a reset. Returns its id after a worker has recorded its owner.
async fn reset_of(app: &TestApp, email: &str) -> Uuid {
    app.request_reset(email).await;
    let (db, user) = (&app.database.db, app.user(email).await.id);
    let found = password_reset::list(db, None, Some(user), None, 1).await;
    found.unwrap().remove(0).id
}

/// Inserts a reset whose owner no worker has recorded yet.
async fn unbound_reset_of(app: &TestApp, email: &str) -> Uuid {
    let id = Uuid::now_v7();
    let new = NewReset {
        id,
        email: app.user(email).await.email_key,
        token_hash: app.database.keys.token_hasher().hash("another"),
        created_at: app.clock.now(),
        lifetime: TimeDelta::minutes(10),
        purpose: Purpose::Reset,
        device: None,
        user_id: None,
        new_email: None,
    };
    let written = password_reset::insert(&app.database.db, new).await;
    written.unwrap();
    id
}

/// Runs `action` while a worker processes a known reset again, and then a new one. The worker waits for no lock of the action.
async fn while_worker_binds<T>(
    database: &TestDatabase,
    known: Uuid,
    new: Uuid,
    action: impl Future<Output = T>,
) -> T {
    let worker = database::begin(&database.db).await.unwrap();
    password_reset::bind(&worker, &[known]).await.unwrap();
    let bound = async {
        // The action waits for the worker.
        wait_until(async || database.blocked_statements().await > 0).await;
        let bound = password_reset::bind(&worker, &[new]).await;
        worker.commit().await.unwrap();
        bound
    };
    let (result, bound) = tokio::join!(action, bound);
    assert!(bound.unwrap()[0].user_id.is_some());
    result
}

/// A change of the email does not fail because a worker processes the resets of the account.
#[tokio::test]
async fn postgres_email_change_and_reset_binding_never_deadlock() {
    let app = TestApp::on_postgres().await;
    let ada = app.logged_in_user("ada@example.com").await;
    let known = reset_of(&app, "ada@example.com").await;
    let new = unbound_reset_of(&app, "ada@example.com").await;
    let change = app.patch_user(&ada.access, json!({"email": "lovelace@example.com"}));
    let changed = while_worker_binds(&app.database, known, new, change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

/// A change of the email and a registration with the same one do not wait for each other.
#[tokio::test]
async fn postgres_email_change_and_registration_never_deadlock() {
    let app = TestApp::on_postgres().await;
    let ada = app.logged_in_user("ada@example.com").await;
    for number in 0..8 {
        let email = format!("shared{number}@example.com");
        let change = app.patch_user(&ada.access, json!({"email": email}));
        let registration = app.post("/api/register/", registration(&email));
        let (changed, registered) = tokio::join!(change, registration);
        let statuses = [changed.status.as_u16(), registered.status.as_u16()];
        assert!([[200, 409], [409, 201]].contains(&statuses), "{statuses:?}");
    }
}

/// A bulk removal does not fail because a worker processes the resets of the accounts.
#[tokio::test]
async fn postgres_bulk_removal_and_reset_binding_never_deadlock() {
    let app = TestApp::on_postgres().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let mut ids = Vec::new();
    for email in ["ada@example.com", "bea@example.com"] {
        app.logged_in_user(email).await;
        ids.push(app.user(email).await.id.to_string());
    }
    // The account that is deleted first has the new reset.
    let known = reset_of(&app, "bea@example.com").await;
    let new = unbound_reset_of(&app, "ada@example.com").await;
    let removal = [
        ("id", ids[0].as_str()),
        ("id", &ids[1]),
        ("act", "delete"),
        ("confirmed", "yes"),
    ];
    while_worker_binds(
        &app.database,
        known,
        new,
        root.submit("/admin/users/bulk/", &removal),
    )
    .await;
    let left = password_reset::Entity::find().count(&app.database.db);
    assert_eq!(left.await.unwrap(), 0);
}
