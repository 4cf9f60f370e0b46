//! The mailbox budget while Redis refuses writes (T5): the rows of the mails count.

use chrono::TimeDelta;
use latchkey_shared::models::{
    mail::{MailKind, MailState},
    user,
};
use latchkey_testing::{RedisRefusal, RedisServer};
use latchkey_worker::delivery::{Delivery, Outcome};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};

use crate::{redis_refusals, test_app::TestApp};

/// Creates an app whose Redis refuses writes. A mailbox gets three mails of a kind per hour from one cause, ten in all and
/// `day` per day.
async fn app(refusal: RedisRefusal, day: &str) -> (RedisServer, TestApp) {
    let redis = RedisServer::start().await;
    let mut app = redis_refusals::on(&redis.url()).await;
    for (key, limit) in [
        ("LIMIT_MAIL_CAUSE", "3/3600"),
        ("LIMIT_MAIL_HOUR", "10/3600"),
        ("LIMIT_MAIL_DAY", day),
    ] {
        app.set(key, limit);
    }
    redis.refuse(refusal).await;
    (redis, app)
}

/// Queues a notice about an account and delivers it.
async fn deliver(
    app: &TestApp,
    delivery: &Delivery,
    kind: MailKind,
    user: &user::Model,
    network: Option<&str>,
) -> Outcome {
    let mail = app.notice(kind, user).await;
    let mut row = app.row(mail).await.into_active_model();
    row.customer_network = Set(network.map(str::to_owned));
    row.update(&app.database.db).await.unwrap();
    delivery.deliver(mail).await.unwrap()
}

/// Queues notices about `count` new accounts of ada@example.com's mailbox, delivers them, and returns how many were sent.
async fn flood(app: &TestApp, delivery: &Delivery, round: &str, count: usize) -> usize {
    let mut sent = 0;
    for number in 0..count {
        let user = app.user(&format!("ada+{round}{number}@example.com")).await;
        let outcome = deliver(app, delivery, MailKind::TokenReused, &user, None).await;
        sent += usize::from(outcome == Outcome::Sent);
    }
    sent
}

/// T5
#[tokio::test]
async fn read_only_redis_sub_addresses_share_one_budget() {
    let (_redis, app) = app(RedisRefusal::Replica, "14/86400").await;
    let delivery = app.delivery();

    assert_eq!(flood(&app, &delivery, "first", 12).await, 10);
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(flood(&app, &delivery, "second", 4).await, 2);

    let rows = app.rows().await;
    let mut waiting = rows.iter().filter(|row| row.state == MailState::Queued);
    assert!(waiting.all(|row| {
        let reason = row.last_error.as_deref();
        reason.is_some_and(|reason| reason.starts_with("no budget: Redis (read-only)"))
    }));
    let other = app.user("bo@example.com").await;
    let to_other = deliver(&app, &delivery, MailKind::TokenReused, &other, None).await;
    assert_eq!(to_other, Outcome::Sent);
}

/// T5: with the relay and parallel deliveries.
#[tokio::test]
async fn flood_while_redis_refuses_writes_stays_within_budget() {
    for refusal in [RedisRefusal::Replica, RedisRefusal::Full] {
        let (_redis, mut app) = app(refusal, "30/86400").await;
        for number in 0..16 {
            let user = app.user(&format!("ada+{number}@example.com")).await;
            app.notice(MailKind::TokenReused, &user).await;
        }

        let worker = app.worker(8);

        app.wait_until_all(|row| row.sent_at.is_some() || row.last_error.is_some())
            .await;
        worker.stop(latchkey_testing::WAIT_TIMEOUT).await;
        assert_eq!(app.sink.mails().len(), 10, "{refusal:?}");
    }
}

/// T5, M3: a client network uses up only its own share of the mailbox.
#[tokio::test]
async fn read_only_redis_network_uses_only_its_share() {
    let (_redis, app) = app(RedisRefusal::Replica, "30/86400").await;
    let delivery = app.delivery();
    let (stranger, neighbour) = (Some("203.0.113.1"), Some("203.0.113.2"));
    for (number, (network, outcome)) in [
        (stranger, Outcome::Sent),
        (stranger, Outcome::Sent),
        (stranger, Outcome::Sent),
        (stranger, Outcome::Deferred),
        (neighbour, Outcome::Sent),
    ]
    .into_iter()
    .enumerate()
    {
        let user = app.user(&format!("ada+{number}@example.com")).await;
        let delivered = deliver(&app, &delivery, MailKind::Welcome, &user, network).await;
        assert_eq!(delivered, outcome, "{number}");
    }
}

/// M3: a flood at other spellings of the mailbox does not delay the notices of an owner with a verified email.
#[tokio::test]
async fn read_only_redis_flood_leaves_owners_reserve() {
    let (_redis, app) = app(RedisRefusal::Replica, "10/86400").await;
    let delivery = app.delivery();
    assert_eq!(flood(&app, &delivery, "", 11).await, 10);
    let mut verified = app.user("ada+me@example.com").await.into_active_model();
    verified.email_verified_at = Set(Some(app.clock.now()));
    let verified = verified.update(&app.database.db).await.unwrap();
    let plain = app.user("ada@example.com").await;

    for (owner, outcomes) in [
        (&verified, [Outcome::Sent, Outcome::Sent, Outcome::Sent]),
        (
            &plain,
            [Outcome::Sent, Outcome::Deferred, Outcome::Deferred],
        ),
    ] {
        for outcome in outcomes {
            let delivered = deliver(&app, &delivery, MailKind::TokenReused, owner, None).await;
            assert_eq!(delivered, outcome, "{}", owner.email.as_str());
        }
    }
    app.clock.advance(TimeDelta::hours(1));
    let fourth = deliver(&app, &delivery, MailKind::TokenReused, &verified, None).await;
    assert_eq!(fourth, Outcome::Deferred);
}
