//! A complete worker in this process: queue consumers, relay and housekeeping.

use std::collections::HashSet;

use futures_util::future::join_all;
use latchkey_shared::{
    clock::Clock,
    database,
    models::{
        mail::{self, MailKind, MailState, Priority},
        user,
    },
    queue::{MAX_DEPTH, Queue},
};
use latchkey_testing::{Fault, Forwarder, WAIT_TIMEOUT, wait_until};
use latchkey_worker::{delivery::Outcome, queue::relay};
use redis::AsyncCommands as _;
use tokio::time::{Duration, sleep, timeout};

use crate::test_app::TestApp;

/// The number of ids that an API server may push at once, after it found the queue not full.
const PUSHED_AT_ONCE: usize = 500;
/// The maximum memory of an id in the queue, in bytes: the 450 stated in `deploy/docs/security.md`, plus the longer namespace of a test.
const ENTRY_BYTES: usize = 500;

#[tokio::test]
async fn smtp_outage_mails_are_delivered_after_recovery() {
    let mut app = TestApp::new().await;
    app.users(20).await;
    app.sink.stop();
    let worker = app.worker(8);
    app.request_resets(20).await;
    app.wait_until_all(|mail| mail.attempts > 0).await;

    app.sink.restart();

    let mails = app.finish(worker, 20).await;
    let recipients: HashSet<_> = mails.iter().flat_map(|mail| &mail.to).collect();
    assert_eq!(recipients.len(), 20);
}

/// The hosts of Redis and PostgreSQL crash, or a firewall drops their connections silently, while mails are being sent.
#[tokio::test]
async fn silent_connections_are_replaced() {
    let mut app = TestApp::new().await;
    let (redis, url) = Forwarder::start(app.redis.url()).await;
    let namespace = app.redis.namespace();
    app.connections.redis = latchkey_shared::redis::connect(&url, namespace)
        .await
        .unwrap();
    app.connections.queue = Queue::new(&url, namespace).unwrap();
    let mut forwarders = vec![redis];
    if app.database.is_postgres() {
        let (postgres, url) = Forwarder::start(app.database.url()).await;
        app.connections.db = database::connect(&url).await.unwrap();
        forwarders.push(postgres);
    }
    app.users(20).await;
    app.sink.set_fault(Fault::HangAfterData);
    let worker = app.worker(4);
    app.request_resets(20).await;
    app.sink.wait_until_hanging(4).await;

    forwarders.iter().for_each(Forwarder::stall_connections);
    app.sink.set_fault(Fault::None);

    for number in 0..20 {
        app.reset(&format!("user{number}@example.com")).await;
    }
    app.wait_for(MailState::Sent, 40).await;
    worker.stop(WAIT_TIMEOUT).await;
}

/// The queue has no retries. The relay pushes a deferred mail again when its next attempt is due.
#[tokio::test]
async fn temporarily_refused_mails_are_delivered_by_the_relay() {
    let mut app = TestApp::new().await;
    app.users(5).await;
    app.sink.set_fault(Fault::RefuseFirst(5, 451));
    let worker = app.worker(4);
    app.request_resets(5).await;

    app.finish(worker, 5).await;

    let tries: i32 = app.rows().await.iter().map(|mail| mail.attempts).sum();
    assert_eq!(tries, 10);
}

/// The server accepts connections and never replies. All slots are free again after `SMTP_TIMEOUT_SECONDS`.
#[tokio::test]
async fn hanging_smtp_server_releases_slots_after_timeout() {
    let mut app = TestApp::new().await;
    app.set("SMTP_TIMEOUT_SECONDS", "1");
    app.users(4).await;
    app.sink.set_fault(Fault::Hang);
    let worker = app.worker(2);
    app.request_resets(4).await;
    app.wait_until_all(|mail| mail.last_error.is_some()).await;

    app.sink.set_fault(Fault::None);

    app.finish(worker, 4).await;
}

/// The API stored a mail and failed before it pushed it to the queue.
#[tokio::test]
async fn relay_delivers_mail_without_wake_up() {
    let mut app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let worker = app.worker(2);
    app.notice(MailKind::Welcome, &user).await;

    app.finish(worker, 1).await;
}

/// Jobs of other programs and of unknown mails leave the queue and block no other job.
#[tokio::test]
async fn invalid_jobs_are_dropped() {
    let mut app = TestApp::new().await;
    app.users(3).await;
    let queue = app.connections.queue.clone();
    for garbage in [
        serde_json::json!({"mail_id": 7}),
        serde_json::json!({"kind": "reset_code", "to": "user0@example.com", "retries": 25}),
        serde_json::json!("not an id"),
        serde_json::json!(null),
        serde_json::json!([[[]]]),
    ] {
        use apalis_core::backend::TaskSink as _;
        queue.storage(Priority::High).push(garbage).await.unwrap();
    }
    queue
        .push(&[uuid::Uuid::now_v7()], Priority::High)
        .await
        .unwrap();
    let worker = app.worker(2);
    app.request_resets(3).await;

    app.finish(worker, 3).await;
    assert_eq!(queue.depth(Priority::High).await.unwrap(), 0);
}

#[tokio::test]
async fn concurrent_relays_take_disjoint_mails() {
    let mut app = TestApp::new().await;
    app.clock = Clock::fixed();
    app.users(60).await;
    for number in 0..60 {
        app.reset(&format!("user{number}@example.com")).await;
    }
    app.clock.advance(chrono::TimeDelta::seconds(10));
    let (db, other) = (&app.database.db, app.database.connect().await);
    let (now, within) = (app.clock.now(), chrono::TimeDelta::seconds(5));

    let mut taken = Vec::new();
    loop {
        let (ours, theirs) = tokio::join!(
            mail::take_due(db, Priority::High, now, within, 7),
            mail::take_due(&other, Priority::High, now, within, 7)
        );
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        if ours.is_empty() && theirs.is_empty() {
            break;
        }
        taken.extend(ours);
        taken.extend(theirs);
    }

    let different: HashSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (60, 60));
}

#[tokio::test]
async fn relay_pushes_each_due_mail_once_per_cooldown() {
    let app = TestApp::new().await;
    app.users(10).await;
    for number in 0..10 {
        app.reset(&format!("user{number}@example.com")).await;
    }
    let (db, queue) = (&app.database.db, &app.connections.queue);
    assert_eq!(relay::pass(db, queue, app.clock.now()).await.unwrap(), 0);

    app.clock.advance(chrono::TimeDelta::seconds(5));
    assert_eq!(relay::pass(db, queue, app.clock.now()).await.unwrap(), 10);
    assert_eq!(relay::pass(db, queue, app.clock.now()).await.unwrap(), 0);
    assert_eq!(queue.depth(Priority::High).await.unwrap(), 10);
}

/// C2: clients fill the queue up to its limit only, and an entry has the size stated in `deploy/docs/security.md`.
#[tokio::test]
async fn full_queue_takes_no_more_ids() {
    let app = TestApp::new().await;
    let queue = &app.connections.queue;
    let push = |_| queue.push_unless_full(uuid::Uuid::now_v7(), Priority::Normal);
    let pushed = join_all((0..2 * MAX_DEPTH).map(push)).await;
    let pushed = pushed
        .into_iter()
        .filter(|it| *it.as_ref().unwrap())
        .count();

    assert!(
        (MAX_DEPTH..=MAX_DEPTH + PUSHED_AT_ONCE).contains(&pushed),
        "{pushed}"
    );
    let mut usage = redis::pipe();
    for key in app.redis.keys().await {
        usage
            .cmd("MEMORY")
            .arg("USAGE")
            .arg(&key)
            .arg("SAMPLES")
            .arg(0);
    }
    let mut redis = app.redis.connection();
    let bytes: Vec<usize> = usage.query_async(&mut redis).await.unwrap();
    let bytes = bytes.iter().sum::<usize>() / pushed;
    assert!(bytes < ENTRY_BYTES, "{bytes}");
}

/// apalis keeps the data of finished jobs. The sweep deletes it.
#[tokio::test]
async fn finished_jobs_leave_no_data_in_redis() {
    let mut app = TestApp::new().await;
    app.users(30).await;
    let worker = app.worker(8);
    app.request_resets(30).await;
    app.finish(worker, 30).await;
    let queue = &app.connections.queue;

    let swept = async {
        while queue.sweep().await.unwrap() > 0 || queue.depth(Priority::High).await.unwrap() > 0 {}
    };
    timeout(WAIT_TIMEOUT, swept).await.unwrap();

    let namespace = app.redis.namespace();
    let mut redis = app.redis.connection();
    let data: usize = redis.hlen(format!("{namespace}:mails:data")).await.unwrap();
    let keys = app.redis.keys().await;
    let meta = keys
        .iter()
        .filter(|key| key.contains(":mails:meta:"))
        .count();
    assert_eq!((data, meta), (0, 0), "{keys:#?}");
}

/// A worker without a heartbeat is removed from the list of apalis. One with a heartbeat stays.
#[tokio::test]
async fn sweep_removes_only_dead_workers() {
    let mut app = TestApp::new().await;
    let mut redis = app.redis.connection();
    let workers = format!("{}:mails:workers", app.redis.namespace());
    for name in ["gone", "at-work"] {
        let _: () = redis
            .hset(format!("{workers}:metadata:{name}"), "service", "x")
            .await
            .unwrap();
        let _: () = redis
            .zadd(format!("{workers}:names"), name, 1)
            .await
            .unwrap();
    }
    let now = Clock::system().now().timestamp();
    let _: () = redis.zadd(&workers, "at-work", now).await.unwrap();
    let worker = app.worker(1);
    let names = format!("{workers}:names");
    wait_until(async || redis.zcard::<_, usize>(&names).await.unwrap() >= 2).await;

    app.connections.queue.sweep().await.unwrap();

    let mut left: Vec<String> = redis
        .zrange(format!("{workers}:names"), 0, -1)
        .await
        .unwrap();
    left.retain(|name| name != "at-work");
    assert_eq!(left.len(), 1, "{left:?}");
    let keys = app.redis.keys().await;
    assert!(
        keys.contains(&format!("{workers}:metadata:at-work")),
        "{keys:#?}"
    );
    assert!(
        !keys.contains(&format!("{workers}:metadata:gone")),
        "{keys:#?}"
    );
    worker.stop(WAIT_TIMEOUT).await;
}

#[tokio::test]
async fn concurrent_mails_are_each_sent_once() {
    let mut app = TestApp::new().await;
    app.users(100).await;
    let worker = app.worker(16);
    app.request_resets(100).await;

    app.finish(worker, 100).await;

    assert!(app.rows().await.iter().all(|mail| mail.attempts == 1));
}

/// No other worker sends claimed mails, and a crash repeats those already sent but not recorded. Therefore a worker claims no
/// more than it needs.
#[tokio::test]
async fn worker_claims_four_mails_per_conversation() {
    let mut app = TestApp::new().await;
    app.users(20).await;
    app.sink.set_fault(Fault::HangAfterData);
    let worker = app.worker(2);
    app.request_resets(20).await;
    let claimed = async || {
        let rows = app.rows().await;
        rows.iter().filter(|row| row.claimed_by.is_some()).count()
    };
    wait_until(async || claimed().await >= 8).await;
    app.sink.wait_until_hanging(2).await;
    // Time to claim more, which must not happen.
    sleep(Duration::from_millis(300)).await;
    assert_eq!((claimed().await, app.sink.mails().len()), (8, 0));

    app.sink.set_fault(Fault::None);

    app.finish(worker, 20).await;
}

/// The claim expires while a mail waits for a slot. Another worker may have sent it, or its account may be deactivated.
#[tokio::test]
async fn mail_waiting_beyond_its_claim_is_prepared_again() {
    let mut app = TestApp::new().await;
    app.set("WORKER_CONCURRENCY", "1");
    let deactivated = app.user("deactivated@example.com").await;
    app.users(3).await;
    app.sink.set_fault(Fault::HangAfterData);
    let delivery = app.delivery();
    let (_, first) = app.reset("user0@example.com").await;
    let mails = [
        app.reset("user1@example.com").await.1,
        app.reset("user2@example.com").await.1,
        app.notice(MailKind::Activated, &deactivated).await,
    ];
    let begin = |mail| {
        let delivery = delivery.clone();
        tokio::spawn(async move { delivery.deliver(mail).await.unwrap() })
    };
    let stuck = begin(first);
    app.sink.wait_until_hanging(1).await;
    let waiting = mails.map(begin);
    app.wait_until_all(|row| row.claimed_by.is_some()).await;

    app.clock.advance(chrono::TimeDelta::seconds(10));
    let db = &app.database.db;
    // By another worker, as the claim has expired.
    mail::mark_sent(db, &mails[..1], app.clock.now())
        .await
        .unwrap();
    user::deactivate(db, deactivated.id, app.clock.now())
        .await
        .unwrap();
    app.sink.set_fault(Fault::None);

    assert_eq!(stuck.await.unwrap(), Outcome::Sent);
    let [sent_elsewhere, unsent, cancelled] = waiting;
    assert_eq!(sent_elsewhere.await.unwrap(), Outcome::NotClaimed);
    assert_eq!(unsent.await.unwrap(), Outcome::Sent);
    assert_eq!(cancelled.await.unwrap(), Outcome::Cancelled);
    let arrived: HashSet<_> = app
        .sink
        .mails()
        .into_iter()
        .flat_map(|mail| mail.to)
        .collect();
    assert_eq!(
        arrived,
        HashSet::from(["user0", "user2"].map(|name| format!("{name}@example.com")))
    );
}
