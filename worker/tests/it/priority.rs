//! Codes go before notices, and nobody goes faster than `SMTP_MAX_PER_SECOND`.

use std::time::Instant;

use latchkey_shared::{
    clock::Clock,
    models::mail::{MailKind, MailState, Priority},
};
use latchkey_testing::{Fault, PATIENCE};
use latchkey_worker::delivery::Outcome;
use redis::AsyncCommands as _;

use crate::world::World;

impl World {
    /// So many notices to one account, pushed as the API pushes them.
    async fn notices(&self, count: usize) {
        let user = self.user("everybody@example.com").await;
        for _ in 0..count {
            let (db, now) = (&self.database.db, self.clock.now());
            let written = self
                .outbox()
                .write_notice(db, MailKind::Activated, &user, "request-1", now)
                .await
                .unwrap();
            self.outbox().wake(written).await;
        }
    }

    /// Whose mails arrived, in order.
    fn arrived(&self) -> Vec<String> {
        let mails = self.sink.mails().into_iter();
        mails.flat_map(|mail| mail.to).collect()
    }
}

#[tokio::test]
async fn a_code_finds_a_slot_however_many_notices_wait() {
    let mut world = World::new().await;
    world.sink.set_fault(Fault::Hold);
    let worker = world.worker(4);
    world.notices(40).await;
    world.sink.wait_until_stuck(3).await;
    world.users(1).await;

    world.ask_for(1).await;

    world.sink.wait_until_stuck(4).await;
    world.sink.set_fault(Fault::None);
    world.wait_for(MailState::Sent, 41).await;
    let arrived = world.arrived();
    let place = arrived.iter().position(|to| to == "user0@example.com");
    assert!(place < Some(4), "{place:?}");
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_code_is_the_very_next_mail_of_a_worker_with_one_slot() {
    let mut world = World::new().await;
    world.sink.set_fault(Fault::Hold);
    let worker = world.worker(1);
    world.notices(20).await;
    world.sink.wait_until_stuck(1).await;
    world.users(1).await;
    world.ask_for(1).await;
    let drawn = async {
        let is_code = |key: &String| key.contains(":code:");
        while !world.redis.keys().await.iter().any(is_code) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drawn).await.unwrap();

    world.sink.set_fault(Fault::None);

    world.wait_for(MailState::Sent, 21).await;
    let place = world
        .arrived()
        .iter()
        .position(|to| to == "user0@example.com");
    // Between being drawn and asking for the slot another mail may pass.
    assert!(place <= Some(2), "{place:?}");
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn the_relay_pushes_codes_while_the_queue_of_notices_is_full() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    let queue = &world.connections.queue;
    for _ in 0..1_000 {
        queue
            .push(&[uuid::Uuid::now_v7()], Priority::Normal)
            .await
            .unwrap();
    }
    let notice = world.notice(MailKind::Welcome, &user).await;
    world.reset("ada@example.com").await;
    world.clock.advance(chrono::TimeDelta::seconds(10));

    let pushed =
        latchkey_worker::queue::relay::pass(&world.database.db, queue, world.clock.now()).await;

    assert_eq!(pushed.unwrap(), 1);
    assert_eq!(queue.depth(Priority::High).await.unwrap(), 1);
    assert_eq!(
        world.row(notice).await.pushed_at,
        Some(world.row(notice).await.created_at)
    );
}

/// The least time that so many mails at such a pace take is no matter of how fast a machine is.
#[tokio::test]
async fn all_workers_together_keep_to_the_pace() {
    let mut world = World::new().await;
    world.clock = Clock::system();
    world.set("SMTP_MAX_PER_SECOND", "10");
    world.users(16).await;
    let start = Instant::now();
    let _workers: Vec<_> = (0..2).map(|_| world.process(&[])).collect();

    world.ask_for(16).await;

    world.wait_for(MailState::Sent, 16).await;
    assert!(
        start.elapsed().as_millis() >= 1_500,
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.sink.mails().len(), 16);
}

#[tokio::test]
async fn a_code_takes_the_next_turn_before_every_notice() {
    let mut world = World::new().await;
    world.set("SMTP_MAX_PER_SECOND", "2");
    world.users(1).await;
    let worker = world.worker(8);
    world.notices(12).await;
    world.sink.wait_for(2).await;

    world.ask_for(1).await;

    world.wait_for(MailState::Sent, 8).await;
    let place = world
        .arrived()
        .iter()
        .position(|to| to == "user0@example.com");
    assert!(place.is_some_and(|place| place < 7), "{place:?}");
    worker.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_waits_for_its_turn() {
    let mut world = World::new().await;
    world.set("SMTP_MAX_PER_SECOND", "1");
    world.users(6).await;
    let mut turn = world.redis.connection();
    let key = format!("{}:smtp-turn", world.redis.namespace());
    // The next turn is an hour off.
    let then = Clock::system().now() + chrono::TimeDelta::hours(1);
    let _: () = turn.set(&key, then.timestamp_micros()).await.unwrap();
    let worker = world.worker(4);
    world.ask_for(6).await;
    let claimed = async {
        while world
            .rows()
            .await
            .iter()
            .filter(|mail| mail.claimed_by.is_some())
            .count()
            < 6
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, claimed).await.unwrap();

    assert_eq!(worker.stop(PATIENCE).await, 0);

    let rows = world.rows().await;
    assert!(rows.iter().all(|mail| mail.state == MailState::Queued));
    assert!(rows.iter().all(|mail| mail.claimed_by.is_none()));
    // Nothing was wrong with them.
    assert!(
        rows.iter()
            .all(|mail| mail.last_error.is_none() && mail.attempts == 0)
    );
    let _: () = turn.del(&key).await.unwrap();
    assert_eq!(world.deliver(rows[0].id).await, Outcome::Sent);
}
