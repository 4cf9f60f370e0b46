//! Codes take precedence over notices, and workers respect `SMTP_MAX_PER_SECOND`.

use std::time::Instant;

use latchkey_shared::{
    clock::Clock,
    models::mail::{MailKind, MailState, Priority},
};
use latchkey_testing::{Fault, WAIT_TIMEOUT, wait_until};
use latchkey_worker::delivery::Outcome;
use redis::AsyncCommands as _;

use crate::test_app::TestApp;

impl TestApp {
    /// Queues and pushes `count` notices to one account.
    async fn notices(&self, count: usize) {
        let user = self.user("all@example.com").await;
        for _ in 0..count {
            let (db, now) = (&self.database.db, self.clock.now());
            let written = self
                .outbox()
                .insert_notice(db, MailKind::Activated, &user, "request-1", now)
                .await
                .unwrap();
            self.outbox().notify_worker(written).await;
        }
    }

    /// Returns the recipients of delivered mails, in order.
    fn arrived(&self) -> Vec<String> {
        let mails = self.sink.mails().into_iter();
        mails.flat_map(|mail| mail.to).collect()
    }
}

/// One of four slots is free for codes, also while notices wait.
#[tokio::test]
async fn code_gets_slot_despite_queued_notices() {
    let mut app = TestApp::new().await;
    app.sink.set_fault(Fault::HangAfterData);
    let worker = app.worker(4);
    app.notices(40).await;
    app.sink.wait_until_hanging(3).await;
    app.users(1).await;

    app.request_resets(1).await;

    app.sink.wait_until_hanging(4).await;
    app.sink.set_fault(Fault::None);
    app.finish(worker, 41).await;
    let arrived = app.arrived();
    let place = arrived.iter().position(|to| to == "user0@example.com");
    assert!(place < Some(4), "{place:?}");
}

#[tokio::test]
async fn code_is_next_mail_with_one_slot() {
    let mut app = TestApp::new().await;
    app.sink.set_fault(Fault::HangAfterData);
    let worker = app.worker(1);
    app.notices(20).await;
    app.sink.wait_until_hanging(1).await;
    app.users(1).await;
    app.request_resets(1).await;
    let is_code = |key: &String| key.contains(":code:");
    wait_until(async || app.redis.keys().await.iter().any(is_code)).await;

    app.sink.set_fault(Fault::None);

    app.finish(worker, 21).await;
    let place = app
        .arrived()
        .iter()
        .position(|to| to == "user0@example.com");
    // Another mail may pass before this one asks for the slot.
    assert!(place <= Some(2), "{place:?}");
}

/// The relay pushes no further notices to a full queue. Codes have their own.
#[tokio::test]
async fn relay_pushes_codes_despite_full_notice_queue() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let queue = &app.connections.queue;
    for _ in 0..1_000 {
        queue
            .push(&[uuid::Uuid::now_v7()], Priority::Normal)
            .await
            .unwrap();
    }
    let notice = app.notice(MailKind::Welcome, &user).await;
    app.reset("ada@example.com").await;
    app.clock.advance(chrono::TimeDelta::seconds(10));

    let pushed =
        latchkey_worker::queue::relay::pass(&app.database.db, queue, app.clock.now()).await;

    assert_eq!(pushed.unwrap(), 1);
    assert_eq!(queue.depth(Priority::High).await.unwrap(), 1);
    assert_eq!(
        app.row(notice).await.pushed_at,
        Some(app.row(notice).await.created_at)
    );
}

/// The minimum time at this rate does not depend on the speed of the machine.
#[tokio::test]
async fn workers_share_the_smtp_rate_limit() {
    let mut app = TestApp::new().await;
    app.clock = Clock::system();
    app.set("SMTP_MAX_PER_SECOND", "10");
    app.users(16).await;
    let start = Instant::now();
    let _workers: Vec<_> = (0..2).map(|_| app.process(&[])).collect();

    app.request_resets(16).await;

    app.wait_for(MailState::Sent, 16).await;
    assert!(
        start.elapsed().as_millis() >= 1_500,
        "{:?}",
        start.elapsed()
    );
    app.wait_for_mails(16).await;
}

/// A user gets a code before the notices that wait for `SMTP_MAX_PER_SECOND`.
#[tokio::test]
async fn rate_limited_code_overtakes_notices() {
    let mut app = TestApp::new().await;
    app.set("SMTP_MAX_PER_SECOND", "2");
    app.users(1).await;
    let worker = app.worker(8);
    app.notices(12).await;
    app.sink.wait_for(2).await;

    app.request_resets(1).await;

    app.wait_for(MailState::Sent, 8).await;
    let place = app
        .arrived()
        .iter()
        .position(|to| to == "user0@example.com");
    assert!(place.is_some_and(|place| place < 7), "{place:?}");
    worker.stop(WAIT_TIMEOUT).await;
}

/// The worker does not wait for the rate limit at shutdown. Another worker can send the mails at once.
#[tokio::test]
async fn stopping_worker_releases_rate_limited_mails() {
    let mut app = TestApp::new().await;
    app.set("SMTP_MAX_PER_SECOND", "1");
    app.users(6).await;
    let mut turn = app.redis.connection();
    let key = format!("{}:smtp-turn", app.redis.namespace());
    // The next turn is in an hour.
    let then = Clock::system().now() + chrono::TimeDelta::hours(1);
    let _: () = turn.set(&key, then.timestamp_micros()).await.unwrap();
    let worker = app.worker(4);
    app.request_resets(6).await;
    app.wait_until_all(|mail| mail.claimed_by.is_some()).await;

    assert_eq!(worker.stop(WAIT_TIMEOUT).await, 0);

    let rows = app.rows().await;
    assert!(rows.iter().all(|mail| mail.state == MailState::Queued));
    assert!(rows.iter().all(|mail| mail.claimed_by.is_none()));
    // A release is not an error.
    assert!(
        rows.iter()
            .all(|mail| mail.last_error.is_none() && mail.attempts == 0)
    );
    let _: () = turn.del(&key).await.unwrap();
    assert_eq!(app.deliver(rows[0].id).await, Outcome::Sent);
}
