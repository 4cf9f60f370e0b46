//! Housekeeping deletes old ended rows and keeps queued mails.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::TimeDelta;
use latchkey_shared::{
    database,
    models::{
        audit::{self, Actor, Details, Event, EventKind},
        mail::{self, MailKind},
        password_reset::{self, NewReset, Purpose},
        session,
    },
    types::{email::Email, rotation_times::RotationTimes},
};
use latchkey_worker::{config::retention::Retention, housekeeping};
use sea_orm::EntityTrait as _;
use uuid::Uuid;

use crate::test_app::{RESET, TestApp};

/// The retention of a worker that keeps the readable values of audit events.
const KEEP_DETAILS: Retention = Retention {
    audit_details: None,
    activations: TimeDelta::days(30),
};

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
        housekeeping::delete_old(db, now + TimeDelta::days(days), KEEP_DETAILS)
            .await
            .unwrap();
        assert_eq!(count().await, left, "after {days} days");
    }
    assert_eq!(app.rows().await[0].id, waiting);
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

    let deleted = housekeeping::delete_old(&db, now + TimeDelta::days(2), KEEP_DETAILS).await;

    assert_eq!(deleted.unwrap(), 2_500);
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
            client_ip: None,
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
    let emails = async || {
        let events = audit::list(db, audit::Filter::default(), 10).await.unwrap();
        let details = audit::load_details(db, &key, &events).await.unwrap();
        let emails = details.into_values().filter_map(|details| details.email);
        emails.collect::<Vec<_>>()
    };

    housekeeping::delete_old(db, now, KEEP_DETAILS)
        .await
        .unwrap();
    assert_eq!(emails().await.len(), 2);
    let retention = Retention {
        audit_details: Some(TimeDelta::days(10)),
        ..KEEP_DETAILS
    };
    housekeeping::delete_old(db, now, retention).await.unwrap();

    assert_eq!(emails().await, ["new@example.com"]);
    assert_eq!(audit::verify(db, &key, None).await.unwrap().seq, 2);
}
