//! The budget of a mailbox, as the worker counts it (T5).

use chrono::TimeDelta;
use latchkey_shared::models::mail::MailState;
use latchkey_testing::Fault;
use latchkey_worker::delivery::{Delivery, Outcome};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::World;

/// A world in which one mailbox gets so many mails of one kind an hour.
async fn world(hour: &str) -> World {
    let mut world = World::new().await;
    world.set("LIMIT_MAIL_HOUR", hour);
    world.user("ada@example.com").await;
    world
}

async fn deliver(delivery: Delivery, mail: Uuid) -> Outcome {
    delivery.deliver(mail).await.unwrap()
}

/// Two workers with twenty mails at once send as many as the budget allows.
#[tokio::test]
async fn parallel_deliveries_share_one_budget() {
    let world = world("7/3600").await;
    let workers = [world.delivery(), world.delivery()];
    let mut deliveries = JoinSet::new();
    for number in 0..20 {
        let (_, mail) = world.reset("ada@example.com").await;
        deliveries.spawn(deliver(workers[number % 2].clone(), mail));
    }
    let outcomes = deliveries.join_all().await;

    let count = |outcome| outcomes.iter().filter(|it| **it == outcome).count();
    assert_eq!(count(Outcome::Sent), 7);
    assert_eq!(count(Outcome::Suppressed), 13);
    assert_eq!(world.count(MailState::Suppressed).await, 13);
    assert_eq!(world.sink.mails().len(), 7);
}

/// A mail that is tried again takes no second place, and a suppressed one has no code in Redis.
#[tokio::test]
async fn a_mail_that_is_tried_again_counts_once() {
    let world = world("1/3600").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.sink.set_fault(Fault::Refuse);
    assert_eq!(world.deliver(mail).await, Outcome::PutOff);
    world.sink.set_fault(Fault::None);
    world.clock.advance(TimeDelta::seconds(3));
    assert_eq!(world.deliver(mail).await, Outcome::Sent);

    let (reset, next) = world.reset("ada@example.com").await;
    assert_eq!(world.deliver(next).await, Outcome::Suppressed);
    assert!(world.codes().find(reset).await.unwrap().is_none());
    world.clock.advance(TimeDelta::hours(1));
    let (_, later) = world.reset("ada@example.com").await;
    assert_eq!(world.deliver(later).await, Outcome::Sent);
}
