//! Housekeeping deletes old ended rows and keeps queued mails.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database,
    models::{
        api_token,
        audit::{self, Actor, Details, Event, EventKind},
        mail::{self, MailKind, MailState},
        password_reset::{self, NewReset, Purpose},
        session,
    },
    types::{email::Email, permission::Permissions, rotation_times::RotationTimes},
};
use latchkey_worker::{config::retention::Retention, housekeeping, metrics::DeliveryMetrics};
use prometheus::IntCounterVec;
use sea_orm::{EntityTrait as _, sea_query::Expr};
use uuid::Uuid;

use crate::test_app::{RESET, TestApp};

/// The retention of a worker that keeps the readable values of audit events.
const KEEP_DETAILS: Retention = Retention {
    audit_details: None,
    client_data: None,
    activations: TimeDelta::days(30),
};

/// Runs the deletions of housekeeping at a time. Returns the number of affected rows.
async fn delete_old(app: &TestApp, now: DateTime<Utc>, retention: Retention) -> u64 {
    let deleted = housekeeping::delete_old(&app.database.db, now, retention, &removed_rows()).await;
    deleted.unwrap()
}

/// A new counter of removed rows.
fn removed_rows() -> IntCounterVec {
    let metrics = DeliveryMetrics::new(&prometheus::Registry::new()).unwrap();
    metrics.removed
}

/// Resets are deleted a day after their expiry, mails 30 days after their end, and sessions 30 days after their expiry.
#[tokio::test]
async fn housekeeping_deletes_ended_rows_but_no_queued_mail() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    let user = app.user("ada@example.com").await;
    let now = app.clock.now();
    let hasher = app.database.keys.token_hasher();
    let session = session::Model {
        id: Uuid::now_v7(),
        user_id: user.id,
        secret_hash: hasher.hash("secret"),
        user_agent: None,
        client_ip: None,
        created_at: now,
        last_used_at: now,
        expires_at: now + TimeDelta::days(10),
        rotation_times: RotationTimes::default(),
        revoked_at: None,
        second_factor_at: None,
    };
    session::insert(db, session).await.unwrap();
    let (_, sent) = app.reset("ada@example.com").await;
    app.deliver(sent).await;
    let waiting = app.notice(MailKind::Welcome, &user).await;
    let count = async || {
        let resets = password_reset::Entity::find().all(db).await.unwrap().len();
        let sessions = session::Entity::find().all(db).await.unwrap().len();
        (
            resets,
            sessions,
            mail::list(db, None, 10).await.unwrap().len(),
        )
    };

    for (days, left) in [
        (0, (1, 1, 2)),
        (2, (0, 1, 2)),
        (31, (0, 1, 1)),
        (41, (0, 0, 1)),
    ] {
        delete_old(&app, now + TimeDelta::days(days), KEEP_DETAILS).await;
        assert_eq!(count().await, left, "after {days} days");
    }
    assert_eq!(app.rows().await[0].id, waiting);
}

/// K2: Expired and revoked API tokens are deleted 30 days after their end, live ones are kept.
#[tokio::test]
async fn housekeeping_deletes_api_tokens_30_days_after_their_end() {
    let app = TestApp::new().await;
    let (db, now) = (&app.database.db, app.clock.now());
    let user = app.user("ada@example.com").await;
    let hasher = app.database.keys.token_hasher();
    let mut ids = Vec::new();
    for (number, days, revoked_at) in [(0, 365, None), (1, 30, None), (2, 365, Some(now))] {
        let token = api_token::Model {
            id: Uuid::now_v7(),
            user_id: user.id,
            name: format!("Script {number}").parse().unwrap(),
            token_hash: hasher.hash(&format!("token {number}")),
            permissions: Permissions::all(),
            created_at: now,
            expires_at: now + TimeDelta::days(days),
            last_used_at: None,
            revoked_at,
        };
        ids.push(token.id);
        api_token::insert(db, token).await.unwrap();
    }

    for (days, left) in [
        (30, &[0, 1, 2][..]),
        (31, &[0, 1]),
        (60, &[0, 1]),
        (61, &[0]),
    ] {
        delete_old(&app, now + TimeDelta::days(days), KEEP_DETAILS).await;
        let rows = api_token::list_after(db, user.id, Uuid::nil(), 10).await;
        let rows: Vec<_> = rows.unwrap().iter().map(|row| row.id).collect();
        let expected: Vec<_> = left.iter().map(|index| ids[*index]).collect();
        assert_eq!(rows, expected, "after {days} days");
    }
}

/// D1: The last mail to the owner of a deleted account is deleted once it is sent.
#[tokio::test]
async fn housekeeping_deletes_sent_mail_of_deleted_account() {
    let app = TestApp::new().await;
    let now = app.clock.now();
    let user = app.user("ada@example.com").await;
    let other = app.notice(MailKind::Welcome, &user).await;
    let last = app.notice(MailKind::AccountDeleted, &user).await;
    app.deliver(other).await;
    delete_old(&app, now, KEEP_DETAILS).await;
    assert_eq!(app.rows().await.len(), 2);

    app.deliver(last).await;
    delete_old(&app, now, KEEP_DETAILS).await;

    let left = app.rows().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, other);
}

/// A worker that was stopped for months finds many old rows. Short statements keep it from blocking other programs.
#[tokio::test]
async fn housekeeping_deletes_at_most_thousand_rows_per_statement() {
    let app = TestApp::new().await;
    let mut db = app.database.db.clone();
    let (now, hasher) = (app.clock.now(), app.database.keys.token_hasher());
    let request = |number: usize| NewReset {
        id: Uuid::now_v7(),
        email: format!("user{number}@example.com")
            .parse::<Email>()
            .unwrap()
            .key(),
        token_hash: hasher.hash(&number.to_string()),
        created_at: now,
        lifetime: RESET,
        purpose: Purpose::Reset,
        device: None,
        user_id: None,
        new_email: None,
    };
    let step = database::begin(&db).await.unwrap();
    for number in 0..2500 {
        password_reset::insert(&step, request(number))
            .await
            .unwrap();
    }
    step.commit().await.unwrap();
    let deletions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&deletions);
    db.set_metric_callback(move |info| {
        let deletes = info
            .statement
            .sql
            .starts_with("DELETE FROM \"password_resets\"");
        counted.fetch_add(usize::from(deletes), Ordering::Relaxed);
    });

    let removed = removed_rows();
    let age = TimeDelta::days(2);
    let deleted = housekeeping::delete_old(&db, now + age, KEEP_DETAILS, &removed).await;

    assert_eq!(deleted.unwrap(), 2_500);
    assert_eq!(removed.with_label_values(&["code_requests"]).get(), 2_500);
    assert_eq!(deletions.load(Ordering::Relaxed), 3);
}

/// L1: the readable values of audit events are erased after their retention. The chain stays valid.
#[tokio::test]
async fn audit_details_are_erased_after_their_retention() {
    let app = TestApp::new().await;
    let (db, now) = (&app.database.db, app.clock.now());
    let key = app.database.keys.audit_key();
    for (age, email) in [(20, "old@example.com"), (1, "new@example.com")] {
        let event = Event {
            kind: EventKind::LoginFail,
            actor: Actor::Anonymous,
            user_id: None,
            session_id: None,
            subject: None,
            client_ip: Some("192.0.2.1".to_owned()),
            request_id: "test".to_owned(),
            detail: None,
            changes: None,
            details: Details {
                email: Some(email.to_owned()),
                ..Details::default()
            },
        };
        let transaction = database::begin(db).await.unwrap();
        let at = now - TimeDelta::days(age);
        audit::append(&transaction, &key, event, at).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let emails_and_client_ips = async || {
        let filter = audit::Filter::default();
        let mut events = audit::list(db, filter, 10).await.unwrap();
        let details = audit::load_details(db, &key, &mut events).await.unwrap();
        let emails = details.into_values().filter_map(|details| details.email);
        let client_ips = events.into_iter().filter_map(|event| event.client_ip);
        (emails.collect::<Vec<_>>(), client_ips.count())
    };

    delete_old(&app, now, KEEP_DETAILS).await;
    let (emails, client_ips) = emails_and_client_ips().await;
    assert_eq!((emails.len(), client_ips), (2, 2));
    let retention = Retention {
        audit_details: Some(TimeDelta::days(10)),
        ..KEEP_DETAILS
    };
    delete_old(&app, now, retention).await;

    let (emails, client_ips) = emails_and_client_ips().await;
    assert_eq!(
        (emails, client_ips),
        (vec!["new@example.com".to_owned()], 1)
    );
    assert_eq!(audit::verify(db, &key, None).await.unwrap().seq, 2);
}

/// L1: client IPs and devices are erased after `CLIENT_DATA_DAYS`: of a session since its last use, of a mail and a code request since their
/// creation. A queued mail keeps them.
#[tokio::test]
async fn client_data_is_erased_after_its_retention() {
    let app = TestApp::new().await;
    let (db, now) = (&app.database.db, app.clock.now());
    let user = app.user("ada@example.com").await;
    let hasher = app.database.keys.token_hasher();
    for (number, age) in [(0, 11), (1, 9)] {
        let session = session::Model {
            id: Uuid::now_v7(),
            user_id: user.id,
            secret_hash: hasher.hash(&format!("secret {number}")),
            user_agent: Some("curl/8.5.0".to_owned()),
            client_ip: Some("192.0.2.1".to_owned()),
            created_at: now - TimeDelta::days(20),
            last_used_at: now - TimeDelta::days(age),
            expires_at: now + TimeDelta::days(10),
            rotation_times: RotationTimes::default(),
            revoked_at: None,
            second_factor_at: None,
        };
        session::insert(db, session).await.unwrap();
        let request = NewReset {
            id: Uuid::now_v7(),
            email: user.email_key.clone(),
            token_hash: hasher.hash(&format!("token {number}")),
            created_at: now - TimeDelta::days(age),
            lifetime: RESET,
            purpose: Purpose::Activation,
            device: Some("Chrome (Windows)".to_owned()),
            user_id: Some(user.id),
            new_email: None,
        };
        password_reset::insert(db, request).await.unwrap();
        let kind = MailKind::NewDevice;
        for is_sent in [true, false] {
            let at = now - TimeDelta::days(age);
            let mail = app.outbox().owner_notice(kind, &user, "test", at);
            let mail = mail.with_device(Some("Chrome (Windows)".to_owned()));
            let mail = mail.with_customer_network("192.0.2.1".to_owned());
            let queued = mail.insert(db).await.unwrap();
            drop(queued);
            if is_sent {
                let newest = app.rows().await.into_iter().max_by_key(|row| row.id);
                assert!(mail::cancel(db, newest.unwrap().id, now).await.unwrap());
            }
        }
    }
    let with_data = async || {
        let sessions = session::Entity::find().all(db).await.unwrap();
        let requests = password_reset::Entity::find().all(db).await.unwrap();
        let mails = app.rows().await;
        (
            sessions
                .iter()
                .filter(|it| it.user_agent.is_some() && it.client_ip.is_some())
                .count(),
            requests.iter().filter(|it| it.device.is_some()).count(),
            mails
                .iter()
                .filter(|it| it.device.is_some() && it.customer_network.is_some())
                .count(),
        )
    };

    assert_eq!(delete_old(&app, now, KEEP_DETAILS).await, 0);
    assert_eq!(with_data().await, (2, 2, 4));
    let retention = Retention {
        client_data: Some(TimeDelta::days(10)),
        ..KEEP_DETAILS
    };
    assert_eq!(delete_old(&app, now, retention).await, 3);

    assert_eq!(with_data().await, (1, 1, 3));
    assert_eq!(delete_old(&app, now, retention).await, 0);
}

/// Erasures of many rows run in short statements, too.
#[tokio::test]
async fn client_data_of_many_rows_is_erased() {
    let app = TestApp::new().await;
    let (db, now) = (&app.database.db, app.clock.now());
    let user = app.user("ada@example.com").await;
    let step = database::begin(db).await.unwrap();
    for _ in 0..2500 {
        let at = now - TimeDelta::days(11);
        let mail = app
            .outbox()
            .notice(MailKind::Welcome, &user.email, "test", at);
        let mail = mail.with_customer_network("192.0.2.1".to_owned());
        let _queued = mail.insert(&step).await.unwrap();
    }
    step.commit().await.unwrap();
    mail::Entity::update_many()
        .col_expr(mail::Column::State, Expr::value(MailState::Sent))
        .exec(&**db)
        .await
        .unwrap();
    let retention = Retention {
        client_data: Some(TimeDelta::days(10)),
        ..KEEP_DETAILS
    };

    assert_eq!(delete_old(&app, now, retention).await, 2_500);

    let left = app.rows().await;
    assert!(left.iter().all(|mail| mail.customer_network.is_none()));
}
