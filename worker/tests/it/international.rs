//! Internationalized addresses on servers with and without SMTPUTF8 (RFC 6531).

use chrono::TimeDelta;
use latchkey_shared::models::mail::MailState;
use latchkey_worker::delivery::Outcome;

use crate::test_app::TestApp;

/// A mail to a Unicode domain does not need SMTPUTF8.
#[tokio::test]
async fn unicode_domain_is_sent_as_a_label() {
    let mut app = TestApp::new().await;
    app.set("MAIL_FROM", "Latchkey <no-reply@b\u{fc}cher.example>");
    app.sink.offer_extensions(&["8BITMIME"]);
    let mail = app.queue_code("ada@m\u{fc}nchen.example").await;

    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    let arrived = app.sink.mails().remove(0);
    assert_eq!(arrived.from, "no-reply@xn--bcher-kva.example");
    assert_eq!(arrived.to, ["ada@xn--mnchen-3ya.example"]);
    assert!(arrived.raw.is_ascii(), "{}", arrived.raw);
}

/// The worker does not try to send the mail, and the row names the missing extension. A relay that is upgraded gets the mail.
#[tokio::test]
async fn unicode_local_part_without_smtputf8_is_deferred() {
    let app = TestApp::new().await;
    let mail = app.queue_code("j\u{f6}rg@m\u{fc}nchen.example").await;
    app.sink.offer_extensions(&["8BITMIME"]);

    assert_eq!(app.deliver(mail).await, Outcome::Deferred);
    let row = app.row(mail).await;
    assert_eq!(row.state, MailState::Queued);
    let words = row.last_error.unwrap();
    assert!(words.contains("SMTPUTF8"), "{words}");
    let commands = app.sink.commands();
    assert!(
        !commands.iter().any(|it| it.starts_with("MAIL")),
        "{commands:?}"
    );

    app.sink.offer_extensions(&["8BITMIME", "SMTPUTF8"]);
    app.clock.advance(TimeDelta::seconds(3));
    assert_eq!(app.deliver(mail).await, Outcome::Sent);
    let commands = app.sink.commands();
    let sender = commands.iter().find(|it| it.starts_with("MAIL")).unwrap();
    assert!(sender.contains(" SMTPUTF8"), "{sender}");
    assert_eq!(app.sink.mails()[0].to, ["j\u{f6}rg@xn--mnchen-3ya.example"]);
}
