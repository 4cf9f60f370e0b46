//! The mailbox budget of the worker (T5).

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    models::{
        mail::{MailKind, MailState},
        session, user,
    },
    types::rotation_times::RotationTimes,
};
use latchkey_testing::Fault;
use latchkey_worker::delivery::{Delivery, Outcome};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::test_app::TestApp;

/// Creates an app whose budget allows `count` mails of one kind an hour.
async fn app(hour: &str) -> TestApp {
    let mut app = TestApp::new().await;
    app.set("LIMIT_MAIL_HOUR", hour);
    app.user("ada@example.com").await;
    app
}

async fn deliver(delivery: Delivery, mail: Uuid) -> Outcome {
    delivery.deliver(mail).await.unwrap()
}

/// Two workers with twenty concurrent mails send as many as the budget allows.
#[tokio::test]
async fn parallel_deliveries_share_one_budget() {
    let app = app("7/3600").await;
    let workers = [app.delivery(), app.delivery()];
    let mut deliveries = JoinSet::new();
    for number in 0..20 {
        let (_, mail) = app.reset("ada@example.com").await;
        deliveries.spawn(deliver(workers[number % 2].clone(), mail));
    }
    let outcomes = deliveries.join_all().await;

    let count = |outcome| outcomes.iter().filter(|it| **it == outcome).count();
    assert_eq!(count(Outcome::Sent), 7);
    assert_eq!(count(Outcome::Suppressed), 13);
    assert_eq!(app.count(MailState::Suppressed).await, 13);
    assert_eq!(app.sink.mails().len(), 7);
}

/// A suppressed mail has no code in Redis.
#[tokio::test]
async fn retried_mail_counts_once_in_the_budget() {
    let app = app("1/3600").await;
    let (_, mail) = app.reset("ada@example.com").await;
    app.sink.set_fault(Fault::CloseConnections);
    assert_eq!(app.deliver(mail).await, Outcome::Deferred);
    app.sink.set_fault(Fault::None);
    app.clock.advance(TimeDelta::seconds(3));
    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    let (reset, next) = app.reset("ada@example.com").await;
    assert_eq!(app.deliver(next).await, Outcome::Suppressed);
    assert!(app.codes().find(reset).await.unwrap().is_none());
    app.clock.advance(TimeDelta::hours(1));
    let (_, later) = app.reset("ada@example.com").await;
    assert_eq!(app.deliver(later).await, Outcome::Sent);
}

/// Creates an account with a verified address.
async fn verified(app: &TestApp) -> user::Model {
    let user = app.user("bo@example.com").await;
    let mut row = user.into_active_model();
    row.email_verified_at = Set(Some(app.clock.now() - TimeDelta::days(300)));
    row.update(&app.database.db).await.unwrap()
}

/// Creates a session of a login from a client IP.
async fn login(app: &TestApp, user: &user::Model, client_ip: &str, expires_at: DateTime<Utc>) {
    let at = expires_at - TimeDelta::days(10);
    let hasher = app.database.keys.token_hasher();
    let session = session::Model {
        id: Uuid::now_v7(),
        user_id: user.id,
        secret_hash: hasher.hash(client_ip),
        user_agent: None,
        client_ip: Some(client_ip.to_owned()),
        created_at: at,
        last_used_at: at,
        expires_at,
        rotation_times: RotationTimes::default(),
        revoked_at: Some(at),
        second_factor_at: None,
    };
    session::insert(&app.database.db, session).await.unwrap();
}

/// Queues a code that a client network requested.
async fn code_from(app: &TestApp, email: &str, network: &str) -> Uuid {
    let (_, mail) = app.reset(email).await;
    let mut row = app.row(mail).await.into_active_model();
    row.customer_network = Set(Some(network.to_owned()));
    row.update(&app.database.db).await.unwrap();
    mail
}

/// M3: a network is known by sessions that expired within 30 days, whatever ended them.
#[tokio::test]
async fn network_is_known_30_days_after_session_expiry() {
    let mut app = app("1/3600").await;
    app.set("LIMIT_MAIL_CAUSE", "3/3600");
    app.set("LIMIT_MAIL_DAY", "30/86400");
    let (user, now) = (verified(&app).await, app.clock.now());
    let stranger = code_from(&app, "bo@example.com", "203.0.113.1").await;
    assert_eq!(app.deliver(stranger).await, Outcome::Sent);
    login(&app, &user, "198.51.100.1", now - TimeDelta::days(29)).await;
    login(&app, &user, "2001:db8:1:2::9", now + TimeDelta::days(1)).await;
    login(&app, &user, "198.51.100.2", now - TimeDelta::days(30)).await;
    for (network, outcome) in [
        ("198.51.100.1", Outcome::Sent),
        ("2001:db8:1::/48", Outcome::Sent),
        ("198.51.100.2", Outcome::Suppressed),
        ("203.0.113.2", Outcome::Suppressed),
    ] {
        let mail = code_from(&app, "bo@example.com", network).await;
        assert_eq!(app.deliver(mail).await, outcome, "{network}");
    }
}

/// A mail that was counted in the reserve and then deferred does not use a second mail of it.
#[tokio::test]
async fn retried_mail_counts_once_in_the_reserve() {
    let mut app = app("1/3600").await;
    app.set("LIMIT_MAIL_CAUSE", "2/3600");
    app.set("LIMIT_MAIL_DAY", "30/86400");
    let user = verified(&app).await;
    let deliver_one = async |kind: MailKind, outcome: Outcome| {
        let mail = app.notice(kind, &user).await;
        assert_eq!(app.deliver(mail).await, outcome);
        mail
    };
    // The total, and then the reserve of two mails.
    deliver_one(MailKind::TokenReused, Outcome::Sent).await;
    app.sink.set_fault(Fault::CloseConnections);
    let deferred = deliver_one(MailKind::TokenReused, Outcome::Deferred).await;
    app.sink.set_fault(Fault::None);
    app.clock.advance(TimeDelta::seconds(3));
    assert_eq!(app.deliver(deferred).await, Outcome::Sent);
    app.clock.advance(TimeDelta::hours(1));
    deliver_one(MailKind::TokenReused, Outcome::Sent).await;
    deliver_one(MailKind::TokenReused, Outcome::Sent).await;
    app.clock.advance(TimeDelta::hours(1));
    deliver_one(MailKind::TokenReused, Outcome::Sent).await;
    deliver_one(MailKind::TokenReused, Outcome::Suppressed).await;
}

/// C2: budgets of whatever number of mailboxes are bounded in Redis; the newest are kept.
#[tokio::test]
async fn budgets_of_many_mailboxes_are_bounded() {
    let mut app = app("7/3600").await;
    app.set("LIMIT_MAX_COUNTERS", "100");
    let delivery = app.delivery();
    for number in 0..110 {
        let email = format!("ada{number}@example.com");
        let mail = app.queue_code(&email).await;
        app.clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(deliver(delivery.clone(), mail).await, Outcome::Sent);
    }
    let keys = app.redis.keys().await;
    let budgets = keys.iter().filter(|key| key.contains(":mail-budget:"));
    // The list itself is one of them.
    assert_eq!(budgets.count(), 101);
}
