//! A complete worker in this process: queue consumers, relay and housekeeping.

use std::collections::HashSet;

use latchkey_shared::{
    clock::Clock,
    database,
    models::{
        mail::{self, MailKind, MailState, Priority},
        user,
    },
    queue::Queue,
};
use latchkey_testing::{Fault, Forwarder, PATIENCE};
use latchkey_worker::{delivery::Outcome, queue::relay};
use redis::AsyncCommands as _;
use tokio::time::{Duration, sleep, timeout};

use crate::world::World;

#[tokio::test]
async fn smtp_outage_mails_are_delivered_after_recovery() {
    let mut world = World::new().await;
    world.users(20).await;
    world.sink.stop();
    let worker = world.worker(8);
    world.request_resets(20).await;
    world.wait_until_all(|mail| mail.attempts > 0).await;

    world.sink.restart();

    world.wait_for(MailState::Sent, 20).await;
    let mails = world.sink.mails();
    let recipients: HashSet<_> = mails.iter().flat_map(|mail| &mail.to).collect();
    assert_eq!((mails.len(), recipients.len()), (20, 20));
    assert_eq!(worker.stop(PATIENCE).await, 0);
}

/// The hosts of Redis and PostgreSQL crash, or a firewall drops their connections silently, while mails are being sent.
#[tokio::test]
async fn silent_connections_are_replaced() {
    let mut world = World::new().await;
    let (redis, url) = Forwarder::before(world.redis.url()).await;
    let namespace = world.redis.namespace();
    world.connections.redis = latchkey_shared::redis::connect(&url, namespace)
        .await
        .unwrap();
    world.connections.queue = Queue::connect(&url, namespace).await.unwrap();
    let mut lines = vec![redis];
    if world.database.is_postgres() {
        let (line, url) = Forwarder::before(world.database.url()).await;
        world.connections.db = database::connect(&url).await.unwrap();
        lines.push(line);
    }
    world.users(20).await;
    world.sink.set_fault(Fault::Hold);
    let worker = world.worker(4);
    world.request_resets(20).await;
    world.sink.wait_until_stuck(4).await;

    lines.iter().for_each(Forwarder::silence);
    world.sink.set_fault(Fault::None);

    for number in 0..20 {
        world.reset(&format!("user{number}@example.com")).await;
    }
    world.wait_for(MailState::Sent, 40).await;
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn temporarily_refused_mails_are_delivered_by_the_relay() {
    let mut world = World::new().await;
    world.users(5).await;
    world.sink.set_fault(Fault::ReplyFirst(5, 451));
    let worker = world.worker(4);
    world.request_resets(5).await;

    world.wait_for(MailState::Sent, 5).await;

    let tries: i32 = world.rows().await.iter().map(|mail| mail.attempts).sum();
    assert_eq!(tries, 10);
    assert_eq!(world.sink.mails().len(), 5);
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn hanging_smtp_server_releases_slots_after_timeout() {
    let mut world = World::new().await;
    world.set("SMTP_TIMEOUT_SECONDS", "1");
    world.users(4).await;
    world.sink.set_fault(Fault::Hang);
    let worker = world.worker(2);
    world.request_resets(4).await;
    world.wait_until_all(|mail| mail.last_error.is_some()).await;

    world.sink.set_fault(Fault::None);

    world.wait_for(MailState::Sent, 4).await;
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn relay_delivers_mail_without_wake_up() {
    let mut world = World::new().await;
    let user = world.user("ada@example.com").await;
    let worker = world.worker(2);
    world.notice(MailKind::Welcome, &user).await;

    world.wait_for(MailState::Sent, 1).await;
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn invalid_jobs_are_dropped() {
    let mut world = World::new().await;
    world.users(3).await;
    let queue = world.connections.queue.clone();
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
    let worker = world.worker(2);
    world.request_resets(3).await;

    world.wait_for(MailState::Sent, 3).await;
    let empty = async {
        while queue.depth(Priority::High).await.unwrap() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, empty).await.unwrap();
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn concurrent_relays_take_disjoint_mails() {
    let mut world = World::new().await;
    world.clock = Clock::fixed();
    world.users(60).await;
    for number in 0..60 {
        world.reset(&format!("user{number}@example.com")).await;
    }
    world.clock.advance(chrono::TimeDelta::seconds(10));
    let (db, other) = (&world.database.db, world.database.connect().await);
    let (now, within) = (world.clock.now(), chrono::TimeDelta::seconds(5));

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
    let world = World::new().await;
    world.users(10).await;
    for number in 0..10 {
        world.reset(&format!("user{number}@example.com")).await;
    }
    let (db, queue) = (&world.database.db, &world.connections.queue);
    assert_eq!(relay::pass(db, queue, world.clock.now()).await.unwrap(), 0);

    world.clock.advance(chrono::TimeDelta::seconds(5));
    assert_eq!(relay::pass(db, queue, world.clock.now()).await.unwrap(), 10);
    assert_eq!(relay::pass(db, queue, world.clock.now()).await.unwrap(), 0);
    assert_eq!(queue.depth(Priority::High).await.unwrap(), 10);
}

#[tokio::test]
async fn finished_jobs_leave_no_data_in_redis() {
    let mut world = World::new().await;
    world.users(30).await;
    let worker = world.worker(8);
    world.request_resets(30).await;
    world.wait_for(MailState::Sent, 30).await;
    worker.stop(PATIENCE).await;
    let queue = &world.connections.queue;

    let swept = async {
        while queue.sweep().await.unwrap() > 0 || queue.depth(Priority::High).await.unwrap() > 0 {}
    };
    timeout(PATIENCE, swept).await.unwrap();

    let namespace = world.redis.namespace();
    let mut redis = world.redis.connection();
    let data: usize = redis.hlen(format!("{namespace}:mails:data")).await.unwrap();
    let keys = world.redis.keys().await;
    let meta = keys
        .iter()
        .filter(|key| key.contains(":mails:meta:"))
        .count();
    assert_eq!((data, meta), (0, 0), "{keys:#?}");
}

#[tokio::test]
async fn sweep_removes_only_dead_workers() {
    let mut world = World::new().await;
    let mut redis = world.redis.connection();
    let workers = format!("{}:mails:workers", world.redis.namespace());
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
    let worker = world.worker(1);
    let announced = async {
        let names = format!("{workers}:names");
        while redis.zcard::<_, usize>(&names).await.unwrap() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, announced).await.unwrap();

    world.connections.queue.sweep().await.unwrap();

    let mut left: Vec<String> = redis
        .zrange(format!("{workers}:names"), 0, -1)
        .await
        .unwrap();
    left.retain(|name| name != "at-work");
    assert_eq!(left.len(), 1, "{left:?}");
    let keys = world.redis.keys().await;
    assert!(
        keys.contains(&format!("{workers}:metadata:at-work")),
        "{keys:#?}"
    );
    assert!(
        !keys.contains(&format!("{workers}:metadata:gone")),
        "{keys:#?}"
    );
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn concurrent_mails_are_each_sent_once() {
    let mut world = World::new().await;
    world.users(100).await;
    let worker = world.worker(16);
    world.request_resets(100).await;

    world.wait_for(MailState::Sent, 100).await;

    assert_eq!(world.sink.mails().len(), 100);
    assert!(world.rows().await.iter().all(|mail| mail.attempts == 1));
    assert_eq!(worker.stop(PATIENCE).await, 0);
}

/// No other worker sends claimed mails, and a crash repeats those that were sent and not recorded. So a worker claims no more
/// than it needs.
#[tokio::test]
async fn worker_claims_four_mails_per_conversation() {
    let mut world = World::new().await;
    world.users(20).await;
    world.sink.set_fault(Fault::Hold);
    let worker = world.worker(2);
    world.request_resets(20).await;
    let claimed = async || {
        let rows = world.rows().await;
        rows.iter().filter(|row| row.claimed_by.is_some()).count()
    };
    let all_claimed = async {
        while claimed().await < 8 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all_claimed).await.unwrap();
    world.sink.wait_until_stuck(2).await;
    // Time to claim more, which must not happen.
    sleep(Duration::from_millis(300)).await;
    assert_eq!((claimed().await, world.sink.mails().len()), (8, 0));

    world.sink.set_fault(Fault::None);

    world.wait_for(MailState::Sent, 20).await;
    assert_eq!(world.sink.mails().len(), 20);
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn mail_waiting_beyond_its_claim_is_prepared_again() {
    let mut world = World::new().await;
    world.set("WORKER_CONCURRENCY", "1");
    let deactivated = world.user("deactivated@example.com").await;
    world.users(3).await;
    world.sink.set_fault(Fault::Hold);
    let delivery = world.delivery();
    let (_, first) = world.reset("user0@example.com").await;
    let mails = [
        world.reset("user1@example.com").await.1,
        world.reset("user2@example.com").await.1,
        world.notice(MailKind::Activated, &deactivated).await,
    ];
    let begin = |mail| {
        let delivery = delivery.clone();
        tokio::spawn(async move { delivery.deliver(mail).await.unwrap() })
    };
    let stuck = begin(first);
    world.sink.wait_until_stuck(1).await;
    let waiting = mails.map(begin);
    world.wait_until_all(|row| row.claimed_by.is_some()).await;

    world.clock.advance(chrono::TimeDelta::seconds(10));
    let db = &world.database.db;
    // By another worker, as the claim has expired.
    mail::mark_sent(db, &mails[..1], world.clock.now())
        .await
        .unwrap();
    user::deactivate(db, deactivated.id, world.clock.now())
        .await
        .unwrap();
    world.sink.set_fault(Fault::None);

    assert_eq!(stuck.await.unwrap(), Outcome::Sent);
    let [sent_elsewhere, unsent, cancelled] = waiting;
    assert_eq!(sent_elsewhere.await.unwrap(), Outcome::NotClaimed);
    assert_eq!(unsent.await.unwrap(), Outcome::Sent);
    assert_eq!(cancelled.await.unwrap(), Outcome::Cancelled);
    let arrived: HashSet<_> = world
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
