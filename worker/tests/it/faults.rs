//! Faults of SMTP servers: deferred, failed and repeated mails.

use chrono::TimeDelta;
use latchkey_shared::models::mail::{self, MailState};
use latchkey_testing::{Fault, Security, WAIT_TIMEOUT, wait_until};
use latchkey_worker::delivery::Outcome;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use tokio::time::timeout;

use crate::test_app::TestApp;

/// Longer than the back-off after a first or second attempt.
const LATER: TimeDelta = TimeDelta::seconds(3);

/// Checks that a mail is deferred by the fault, and then sent without it.
async fn assert_deferred_then_sent(mut app: TestApp, fault: Fault) -> TestApp {
    let mail = app.queue_code("ada@example.com").await;
    app.set("SMTP_TIMEOUT_SECONDS", "1");
    app.sink.set_fault(fault.clone());

    assert_eq!(app.deliver(mail).await, Outcome::Deferred, "{fault:?}");
    let row = app.row(mail).await;
    assert_eq!(row.state, MailState::Queued);
    assert!(row.last_error.is_some() && row.claimed_until.is_none());
    assert_eq!(app.deliver(mail).await, Outcome::NotClaimed, "not yet due");

    app.sink.set_fault(Fault::None);
    app.clock.advance(LATER);
    assert_eq!(app.deliver(mail).await, Outcome::Sent, "{fault:?}");
    let row = app.row(mail).await;
    assert_eq!((row.state, row.attempts), (MailState::Sent, 2));
    assert_eq!(row.last_error, None);
    app
}

#[tokio::test]
async fn closed_connection_defers_the_mail() {
    assert_deferred_then_sent(TestApp::new().await, Fault::CloseConnections).await;
}

#[tokio::test]
async fn temporarily_refused_recipient_defers_the_mail() {
    assert_deferred_then_sent(TestApp::new().await, Fault::RefuseFirst(1, 451)).await;
}

#[tokio::test]
async fn hanging_server_defers_mail_after_timeout() {
    assert_deferred_then_sent(TestApp::new().await, Fault::Hang).await;
}

#[tokio::test]
async fn connection_dropped_in_mail_defers_it() {
    let app = assert_deferred_then_sent(TestApp::new().await, Fault::DropInData).await;
    assert_eq!(app.sink.mails().len(), 1);
}

/// A 5xx before `RCPT TO` is about the service, not about the mail.
#[tokio::test]
async fn permanent_refusal_at_greeting_defers_mail() {
    assert_deferred_then_sent(TestApp::new().await, Fault::Greeting(554)).await;
}

#[tokio::test]
async fn refused_login_defers_the_mail() {
    let mut app = TestApp::with(Security::Plain, Some(("ada", "secret"))).await;
    let url = format!("{}?tls=none", app.sink.url());
    app.set("SMTP_URL", &url);
    assert_deferred_then_sent(app, Fault::RefuseLogin).await;
}

/// A 5xx to `MAIL FROM` needs a change by the operator. The mails are delivered after it.
#[tokio::test]
async fn refused_sender_defers_the_mail() {
    assert_deferred_then_sent(TestApp::new().await, Fault::RefuseSender(550)).await;
}

/// The worker crashes after the server's 250 and before it stores `sent`.
#[tokio::test]
async fn repeated_mail_has_same_message_id_and_code() {
    let app = assert_deferred_then_sent(TestApp::new().await, Fault::DropAfterAccept(1)).await;

    let mails = app.sink.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].message_id, mails[1].message_id);
    assert_eq!(mails[0].code(), mails[1].code());
    assert!(mails[0].code().is_some());
}

#[tokio::test]
async fn permanently_refused_recipient_fails_with_server_reply() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    let refused = app.queue_code("eve@example.com").await;
    let (_, good) = app.reset("ada@example.com").await;
    let eve = vec!["eve@example.com".to_owned()];
    app.sink.set_fault(Fault::RefuseRecipients(eve, 550));

    assert_eq!(app.deliver(refused).await, Outcome::Failed);
    assert_eq!(app.deliver(good).await, Outcome::Sent);

    let row = app.row(refused).await;
    assert_eq!((row.state, row.attempts), (MailState::Failed, 1));
    let words = row.last_error.unwrap();
    assert!(
        words.contains("550") && words.contains("user unknown"),
        "{words}"
    );
    app.clock.advance(LATER);
    assert_eq!(app.deliver(refused).await, Outcome::NotClaimed);
    assert_eq!(app.sink.mails().len(), 1);
}

/// No second worker sends a mail whose conversation takes longer than the claim.
#[tokio::test]
async fn claim_is_renewed_during_long_conversation() {
    let app = TestApp::new().await;
    let mail = app.queue_code("ada@example.com").await;
    app.sink.set_fault(Fault::HangAfterData);
    let delivery = app.delivery();
    let first = tokio::spawn(async move { delivery.deliver(mail).await });
    app.sink.wait_until_hanging(1).await;
    let claimed_until = app.row(mail).await.claimed_until;

    app.clock.advance(TimeDelta::seconds(5));
    wait_until(async || app.row(mail).await.claimed_until != claimed_until).await;
    app.clock.advance(TimeDelta::seconds(5));

    assert_eq!(app.deliver(mail).await, Outcome::NotClaimed);
    app.sink.set_fault(Fault::None);
    assert_eq!(first.await.unwrap().unwrap(), Outcome::Sent);
    assert_eq!(app.sink.mails().len(), 1);
}

/// The worker tries again with a back-off until the reset of the code expires.
#[tokio::test]
async fn undeliverable_mail_expires() {
    let app = TestApp::new().await;
    let mail = app.queue_code("ada@example.com").await;
    app.sink.set_fault(Fault::CloseConnections);

    let mut outcomes = Vec::new();
    for _ in 0..30 {
        outcomes.push(app.deliver(mail).await);
        let row = app.row(mail).await;
        if row.state != MailState::Queued {
            break;
        }
        app.clock.advance(row.next_attempt_at - app.clock.now());
    }

    assert_eq!(outcomes.pop(), Some(Outcome::Expired));
    assert!(outcomes.len() > 5, "{outcomes:?}");
    assert!(outcomes.iter().all(|it| *it == Outcome::Deferred));
    assert!(app.sink.mails().is_empty());
}

/// After a timeout, the server's reply is still to come. On a reused connection it would be read as the reply to the next mail.
#[tokio::test]
async fn late_reply_is_not_read_for_next_mail() {
    let mut app = TestApp::new().await;
    app.set("SMTP_TIMEOUT_SECONDS", "1");
    app.user("ada@example.com").await;
    app.user("eve@example.com").await;
    let (_, slow) = app.reset("ada@example.com").await;
    let (_, refused) = app.reset("eve@example.com").await;
    let delivery = app.delivery();
    app.sink.set_fault(Fault::HangAfterData);
    assert_eq!(delivery.deliver(slow).await.unwrap(), Outcome::Deferred);

    app.sink.set_fault(Fault::RepeatSubject(554));

    assert_eq!(delivery.deliver(refused).await.unwrap(), Outcome::Deferred);
    let words = app.row(refused).await.last_error.unwrap();
    assert!(words.contains("554"), "{words}");
}

/// A code must not arrive expired, so its conversation ends when the mail expires, even before `SMTP_TIMEOUT_SECONDS`.
#[tokio::test]
async fn conversation_ends_when_its_mail_expires() {
    let mut app = TestApp::new().await;
    app.clock = latchkey_shared::clock::Clock::system();
    app.set("SMTP_TIMEOUT_SECONDS", "300");
    let mail = app.queue_code("ada@example.com").await;
    let soon = app.clock.now() + TimeDelta::seconds(1);
    mail::Entity::update_many()
        .col_expr(mail::Column::DeliverBefore, Expr::value(soon))
        .filter(mail::Column::Id.eq(mail))
        .exec(&app.database.db)
        .await
        .unwrap();
    app.sink.set_fault(Fault::Hang);

    let outcome = timeout(WAIT_TIMEOUT, app.deliver(mail)).await.unwrap();

    assert_eq!(outcome, Outcome::Deferred);
    app.sink.set_fault(Fault::None);
    assert_eq!(app.deliver(mail).await, Outcome::Expired);
    assert!(app.sink.mails().is_empty());
}
