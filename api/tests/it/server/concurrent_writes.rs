//! Concurrent requests that write the same tables: each gets its own result, and none deadlocks.

use std::{collections::BTreeSet, future::Future};

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::{
    crypto::secret_key::SecretKey,
    database,
    models::{
        audit, mail,
        password_reset::{self, NewReset, Purpose},
        user,
    },
};
use latchkey_testing::{PATIENCE, TestDatabase};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _,
};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    support::dashboard::Dashboard,
    support::test_app::{TestApp, registration, wait_until},
};

#[tokio::test]
async fn concurrent_registrations_each_get_account_mail_and_event() {
    let app = TestApp::new().await;
    let email = |number: usize| format!("user{number}@example.com");

    // Everybody twice, the second time in other letters.
    let posts = (0..48).map(|number| {
        let mut form = registration(&email(number % 24));
        if number >= 24 {
            form["email"] = json!(email(number % 24).to_uppercase());
        }
        app.post("/api/register/", form)
    });
    let answers = join_all(posts).await;

    let key: SecretKey = app.variables["SECRET_KEY"].parse().unwrap();
    let db = &app.database.db;
    assert_eq!(
        audit::verify(db, &key.audit_key(), None).await.unwrap().seq,
        48
    );
    let mut owners = BTreeSet::new();
    for number in 0..24 {
        let (first, second) = (&answers[number], &answers[number + 24]);
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{number}");
        let made = if first.status == 201 { first } else { second };
        let user = app.user(&email(number)).await;
        assert_eq!(made.text("/email"), user.email.to_string());
        let id = made.headers["x-request-id"].to_str().unwrap();
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

#[tokio::test]
async fn failed_reset_request_does_not_fail_its_batch() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    let once = "CREATE UNIQUE INDEX once ON password_resets (email_key)";
    db.execute_unprepared(once).await.unwrap();

    let ask = |number: usize| {
        let body = json!({"email": format!("user{}@example.com", number % 19)});
        app.post("/auth/email_request/", body)
    };
    let answers = join_all((0..20).map(ask)).await;

    let refused: Vec<_> = (0..20)
        .filter(|number| answers[*number].status == 500)
        .collect();
    assert!(refused == [0] || refused == [19], "{refused:?}");
    let noted = answers.iter().filter(|answer| answer.status == 201);
    assert_eq!(noted.count(), 19);
    assert_eq!(mail::Entity::find().count(db).await.unwrap(), 19);
}

#[tokio::test]
async fn concurrent_profile_changes_update_only_their_fields() {
    let app = TestApp::new().await;
    let email = |number: usize| format!("user{number}@example.com");
    let mut owners = Vec::new();
    for number in 0..12 {
        owners.push(app.logged_in_user(&email(number)).await);
    }
    let born = json!({"dateBirth": "1990-02-28", "gender": "female"});
    let all = owners
        .iter()
        .map(|owner| app.patch_user(&owner.access, born.clone()));
    assert!(
        join_all(all)
            .await
            .iter()
            .all(|answer| answer.status == 200)
    );
    app.deactivate(&email(0)).await;

    // Everybody twice: the name and the gender, and the day of birth.
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
        assert_eq!(user.version, 4, "activated, and three times changed");
        if number < 12 {
            assert_eq!(answer.text("/username"), name);
        } else {
            assert_eq!(answer.text("/dateBirth"), format!("1990-03-{day}"));
        }
    }
}

#[tokio::test]
async fn failed_profile_change_does_not_fail_its_batch() {
    let app = TestApp::new().await;
    let mut owners = Vec::new();
    for number in 0..8 {
        owners.push(
            app.logged_in_user(&format!("user{number}@example.com"))
                .await,
        );
    }
    let once = "CREATE UNIQUE INDEX once ON users (username) WHERE username LIKE 'Name%'";
    app.database.db.execute_unprepared(once).await.unwrap();

    let change = |number: usize| {
        let name = format!("Name {}", number % 7);
        app.patch_user(&owners[number].access, json!({"username": name}))
    };
    let answers = join_all((0..8).map(change)).await;

    let refused: Vec<_> = (0..8)
        .filter(|number| answers[*number].status != 200)
        .collect();
    assert!(refused == [0] || refused == [7], "{refused:?}");
}

/// Else whoever ends the requests of the account it holds, and the worker that has these in hand, could wait for each other.
#[tokio::test]
async fn reset_owner_is_recorded_while_account_is_locked() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    app.logged_in_user("ada@example.com").await;
    let request = request_of(&app, "ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let unbound = password_reset::ActiveModel {
        id: Set(request),
        user_id: Set(None),
        ..Default::default()
    };
    password_reset::Entity::update(unbound)
        .exec(db)
        .await
        .unwrap();

    let holding = database::begin(db).await.unwrap();
    user::lock(&holding, id).await.unwrap();
    let bound = async {
        // On SQLite there is one writer at a time.
        if app.database.is_postgres() {
            password_reset::bind(db, &[request]).await
        } else {
            password_reset::bind(&holding, &[request]).await
        }
    };
    let bound = timeout(PATIENCE, bound).await.expect("nobody to wait for");
    holding.commit().await.unwrap();
    assert_eq!(bound.unwrap()[0].user_id, Some(id));
}

/// The request for a code that an account has made.
async fn request_of(app: &TestApp, email: &str) -> Uuid {
    app.request_reset(email).await;
    let (db, user) = (&app.database.db, app.user(email).await.id);
    let found = password_reset::list(db, None, Some(user), None, 1).await;
    found.unwrap().remove(0).id
}

/// Another, of which no worker has noted yet whose it is.
async fn new_request_of(app: &TestApp, email: &str) -> Uuid {
    let key: SecretKey = app.variables["SECRET_KEY"].parse().unwrap();
    let id = Uuid::now_v7();
    let new = NewReset {
        id,
        email: app.user(email).await.email_key,
        token_hash: key.token_hasher().hash("another"),
        created_at: app.clock.now(),
        lifetime: TimeDelta::minutes(10),
        purpose: Purpose::Reset,
    };
    let written = password_reset::insert(&app.database.db, new).await;
    written.unwrap();
    id
}

/// Does something while a worker has a request in hand for the second time, and then a new one. The worker is never in its way.
async fn beside_a_worker<T>(
    database: &TestDatabase,
    known: Uuid,
    new: Uuid,
    act: impl Future<Output = T>,
) -> T {
    let worker = database::begin(&database.db).await.unwrap();
    password_reset::bind(&worker, &[known]).await.unwrap();
    let bound = async {
        // It waits for the worker.
        wait_until(async || database.blocked().await > 0).await;
        let bound = password_reset::bind(&worker, &[new]).await;
        worker.commit().await.unwrap();
        bound
    };
    let (done, bound) = tokio::join!(act, bound);
    assert!(bound.unwrap()[0].user_id.is_some());
    done
}

#[tokio::test]
async fn postgres_email_change_and_reset_binding_never_deadlock() {
    let app = TestApp::on_postgres().await;
    let ada = app.logged_in_user("ada@example.com").await;
    let known = request_of(&app, "ada@example.com").await;
    let new = new_request_of(&app, "ada@example.com").await;
    let change = app.patch_user(&ada.access, json!({"email": "lovelace@example.com"}));
    let changed = beside_a_worker(&app.database, known, new, change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

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
    // The first to be removed has the new one.
    let known = request_of(&app, "bea@example.com").await;
    let new = new_request_of(&app, "ada@example.com").await;
    let removal = [
        ("id", ids[0].as_str()),
        ("id", &ids[1]),
        ("act", "delete"),
        ("confirmed", "yes"),
    ];
    beside_a_worker(
        &app.database,
        known,
        new,
        root.submit("/admin/users/bulk/", &removal),
    )
    .await;
    let left = password_reset::Entity::find().count(&app.database.db);
    assert_eq!(left.await.unwrap(), 0);
}
