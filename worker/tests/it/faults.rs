//! Servers that fail: what is tried again, what is not, and what is repeated.

use chrono::TimeDelta;
use latchkey_shared::models::mail::{self, MailState};
use latchkey_testing::{Fault, PATIENCE, Security};
use latchkey_worker::delivery::Outcome;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};

use tokio::time::{Duration, sleep, timeout};

use crate::world::World;

/// Longer than the wait after a first or second try.
const LATER: TimeDelta = TimeDelta::seconds(3);

/// One try with the fault, one without it.
async fn is_put_off_and_then_sent(mut world: World, fault: Fault) -> World {
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.set("SMTP_TIMEOUT_SECONDS", "1");
    world.sink.set_fault(fault.clone());

    assert_eq!(world.deliver(mail).await, Outcome::Deferred, "{fault:?}");
    let row = world.row(mail).await;
    assert_eq!(row.state, MailState::Queued);
    assert!(row.last_error.is_some() && row.claimed_until.is_none());
    assert_eq!(
        world.deliver(mail).await,
        Outcome::NotClaimed,
        "not yet due"
    );

    world.sink.set_fault(Fault::None);
    world.clock.advance(LATER);
    assert_eq!(world.deliver(mail).await, Outcome::Sent, "{fault:?}");
    let row = world.row(mail).await;
    assert_eq!((row.state, row.attempts), (MailState::Sent, 2));
    assert_eq!(row.last_error, None);
    world
}

#[tokio::test]
async fn a_server_that_closes_every_connection_is_tried_again() {
    is_put_off_and_then_sent(World::new().await, Fault::Refuse).await;
}

#[tokio::test]
async fn a_recipient_refused_for_now_is_tried_again() {
    is_put_off_and_then_sent(World::new().await, Fault::ReplyFirst(1, 451)).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time_and_tried_again() {
    is_put_off_and_then_sent(World::new().await, Fault::Hang).await;
}

#[tokio::test]
async fn a_server_that_drops_the_connection_in_a_mail_is_tried_again() {
    let world = is_put_off_and_then_sent(World::new().await, Fault::DropInData).await;
    assert_eq!(world.sink.mails().len(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_everybody_for_good_refuses_no_mail() {
    is_put_off_and_then_sent(World::new().await, Fault::Greeting(554)).await;
}

#[tokio::test]
async fn a_refused_login_is_our_trouble_and_not_the_recipients() {
    let mut world = World::with(Security::Plain, Some(("ada", "secret"))).await;
    let url = format!("{}?tls=none", world.sink.url());
    world.set("SMTP_URL", &url);
    is_put_off_and_then_sent(world, Fault::RefuseLogin).await;
}

#[tokio::test]
async fn a_refused_sender_is_our_trouble_and_not_the_recipients() {
    is_put_off_and_then_sent(World::new().await, Fault::RefuseSender(550)).await;
}

/// A crash between the server's 250 and the row's `sent`.
#[tokio::test]
async fn a_repeated_mail_has_the_same_message_id_and_the_same_code() {
    let world = is_put_off_and_then_sent(World::new().await, Fault::DropAfterAccept(1)).await;

    let mails = world.sink.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].message_id, mails[1].message_id);
    assert_eq!(mails[0].code(), mails[1].code());
    assert!(mails[0].code().is_some());
}

#[tokio::test]
async fn a_recipient_refused_for_good_fails_with_the_servers_words_and_stops_nobody() {
    let world = World::new().await;
    world.user("ada@example.com").await;
    world.user("eve@example.com").await;
    let (_, refused) = world.reset("eve@example.com").await;
    let (_, good) = world.reset("ada@example.com").await;
    let eve = vec!["eve@example.com".to_owned()];
    world.sink.set_fault(Fault::ReplyTo(eve, 550));

    assert_eq!(world.deliver(refused).await, Outcome::Failed);
    assert_eq!(world.deliver(good).await, Outcome::Sent);

    let row = world.row(refused).await;
    assert_eq!((row.state, row.attempts), (MailState::Failed, 1));
    let words = row.last_error.unwrap();
    assert!(
        words.contains("550") && words.contains("the sink refuses"),
        "{words}"
    );
    world.clock.advance(LATER);
    assert_eq!(world.deliver(refused).await, Outcome::NotClaimed);
    assert_eq!(world.sink.mails().len(), 1);
}

#[tokio::test]
async fn a_long_conversation_keeps_its_claim_for_as_long_as_it_lasts() {
    let world = World::new().await;
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.sink.set_fault(Fault::Hold);
    let delivery = world.delivery();
    let first = tokio::spawn(async move { delivery.deliver(mail).await });
    world.sink.wait_until_stuck(1).await;
    let claimed_until = world.row(mail).await.claimed_until;

    world.clock.advance(TimeDelta::seconds(5));
    let renewed = async {
        while world.row(mail).await.claimed_until == claimed_until {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, renewed).await.unwrap();
    world.clock.advance(TimeDelta::seconds(5));

    assert_eq!(world.deliver(mail).await, Outcome::NotClaimed);
    world.sink.set_fault(Fault::None);
    assert_eq!(first.await.unwrap().unwrap(), Outcome::Sent);
    assert_eq!(world.sink.mails().len(), 1);
}

#[tokio::test]
async fn a_mail_that_cannot_be_sent_in_time_expires() {
    let world = World::new().await;
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.sink.set_fault(Fault::Refuse);

    let mut outcomes = Vec::new();
    for _ in 0..30 {
        outcomes.push(world.deliver(mail).await);
        let row = world.row(mail).await;
        if row.state != MailState::Queued {
            break;
        }
        world.clock.advance(row.next_attempt_at - world.clock.now());
    }

    assert_eq!(outcomes.pop(), Some(Outcome::Expired));
    assert!(outcomes.len() > 5, "{outcomes:?}");
    assert!(outcomes.iter().all(|it| *it == Outcome::Deferred));
    assert!(world.sink.mails().is_empty());
}

/// Given up on, a conversation has an answer still to come. Heard by the next mail, it would pass for that mail's.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_taken_for_the_answer_to_another_mail() {
    let mut world = World::new().await;
    world.set("SMTP_TIMEOUT_SECONDS", "1");
    world.user("ada@example.com").await;
    world.user("eve@example.com").await;
    let (_, slow) = world.reset("ada@example.com").await;
    let (_, refused) = world.reset("eve@example.com").await;
    let delivery = world.delivery();
    world.sink.set_fault(Fault::Hold);
    assert_eq!(delivery.deliver(slow).await.unwrap(), Outcome::Deferred);

    world.sink.set_fault(Fault::RepeatSubject(554));

    assert_eq!(delivery.deliver(refused).await.unwrap(), Outcome::Deferred);
    let words = world.row(refused).await.last_error.unwrap();
    assert!(words.contains("554"), "{words}");
}

/// A code must not arrive dead: the conversation is cut when the mail has lost its worth, however patient we are.
#[tokio::test]
async fn a_conversation_ends_when_its_mail_has_lost_its_worth() {
    let mut world = World::new().await;
    world.clock = latchkey_shared::clock::Clock::system();
    world.set("SMTP_TIMEOUT_SECONDS", "300");
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    let soon = world.clock.now() + TimeDelta::seconds(1);
    mail::Entity::update_many()
        .col_expr(mail::Column::DeliverBefore, Expr::value(soon))
        .filter(mail::Column::Id.eq(mail))
        .exec(&world.database.db)
        .await
        .unwrap();
    world.sink.set_fault(Fault::Hang);

    let outcome = timeout(PATIENCE, world.deliver(mail)).await.unwrap();

    assert_eq!(outcome, Outcome::Deferred);
    world.sink.set_fault(Fault::None);
    assert_eq!(world.deliver(mail).await, Outcome::Expired);
    assert!(world.sink.mails().is_empty());
}
