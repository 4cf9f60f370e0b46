//! The mailbox budget of the worker (T5).

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::models::{
    mail::{MailKind, MailState},
    session, user,
};
use latchkey_testing::Fault;
use latchkey_worker::delivery::{Delivery, Outcome};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::World;

/// Creates a world whose budget allows `count` mails of one kind an hour.
async fn world(hour: &str) -> World {
    let mut world = World::new().await;
    world.set("LIMIT_MAIL_HOUR", hour);
    world.user("ada@example.com").await;
    world
}

async fn deliver(delivery: Delivery, mail: Uuid) -> Outcome {
    delivery.deliver(mail).await.unwrap()
}

/// Two workers with twenty concurrent mails send as many as the budget allows.
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

/// A suppressed mail has no code in Redis.
#[tokio::test]
async fn retried_mail_counts_once_in_the_budget() {
    let world = world("1/3600").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.sink.set_fault(Fault::Refuse);
    assert_eq!(world.deliver(mail).await, Outcome::Deferred);
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

/// Creates an account with a verified address.
async fn verified(world: &World) -> user::Model {
    let user = world.user("bo@example.com").await;
    let mut row = user.into_active_model();
    row.email_verified_at = Set(Some(world.clock.now() - TimeDelta::days(300)));
    row.update(&world.database.db).await.unwrap()
}

/// Creates a session of a login from a client IP.
async fn login(world: &World, user: &user::Model, client_ip: &str, expires_at: DateTime<Utc>) {
    let at = expires_at - TimeDelta::days(10);
    let hasher = world.config().common.secret_key.token_hasher();
    let session = session::Model {
        id: Uuid::now_v7(),
        user_id: user.id,
        secret_hash: hasher.hash(client_ip),
        user_agent: None,
        client_ip: Some(client_ip.to_owned()),
        created_at: at,
        last_used_at: at,
        expires_at,
        previous_hash: None,
        rotated_at: None,
        revoked_at: Some(at),
    };
    session::insert(&world.database.db, session).await.unwrap();
}

/// Queues a code that a client network requested.
async fn code_from(world: &World, email: &str, network: &str) -> Uuid {
    let (_, mail) = world.reset(email).await;
    let mut row = world.row(mail).await.into_active_model();
    row.client_network = Set(Some(network.to_owned()));
    row.update(&world.database.db).await.unwrap();
    mail
}

/// M3: a network is known by sessions that expired within 30 days, whatever ended them.
#[tokio::test]
async fn network_is_known_30_days_after_session_expiry() {
    let mut world = world("1/3600").await;
    world.set("LIMIT_MAIL_CAUSE", "3/3600");
    world.set("LIMIT_MAIL_DAY", "30/86400");
    let (user, now) = (verified(&world).await, world.clock.now());
    let stranger = code_from(&world, "bo@example.com", "203.0.113.1").await;
    assert_eq!(world.deliver(stranger).await, Outcome::Sent);
    login(&world, &user, "198.51.100.1", now - TimeDelta::days(29)).await;
    login(&world, &user, "2001:db8:1:2::9", now + TimeDelta::days(1)).await;
    login(&world, &user, "198.51.100.2", now - TimeDelta::days(30)).await;
    for (network, outcome) in [
        ("198.51.100.1", Outcome::Sent),
        ("2001:db8:1:2::/64", Outcome::Sent),
        ("198.51.100.2", Outcome::Suppressed),
        ("203.0.113.2", Outcome::Suppressed),
    ] {
        let mail = code_from(&world, "bo@example.com", network).await;
        assert_eq!(world.deliver(mail).await, outcome, "{network}");
    }
}

#[tokio::test]
async fn retried_mail_counts_once_in_the_reserve() {
    let mut world = world("1/3600").await;
    world.set("LIMIT_MAIL_CAUSE", "2/3600");
    world.set("LIMIT_MAIL_DAY", "30/86400");
    let user = verified(&world).await;
    let deliver_one = async |kind: MailKind, outcome: Outcome| {
        let mail = world.notice(kind, &user).await;
        assert_eq!(world.deliver(mail).await, outcome);
        mail
    };
    // The total, and then the reserve of two mails.
    deliver_one(MailKind::TokenReplayed, Outcome::Sent).await;
    world.sink.set_fault(Fault::Refuse);
    let deferred = deliver_one(MailKind::TokenReplayed, Outcome::Deferred).await;
    world.sink.set_fault(Fault::None);
    world.clock.advance(TimeDelta::seconds(3));
    assert_eq!(world.deliver(deferred).await, Outcome::Sent);
    world.clock.advance(TimeDelta::hours(1));
    deliver_one(MailKind::TokenReplayed, Outcome::Sent).await;
    deliver_one(MailKind::TokenReplayed, Outcome::Sent).await;
    world.clock.advance(TimeDelta::hours(1));
    deliver_one(MailKind::TokenReplayed, Outcome::Sent).await;
    deliver_one(MailKind::TokenReplayed, Outcome::Suppressed).await;
}
