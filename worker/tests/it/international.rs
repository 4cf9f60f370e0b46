//! Internationalized addresses on servers with and without SMTPUTF8 (RFC 6531).

use chrono::TimeDelta;
use latchkey_shared::models::mail::MailState;
use latchkey_worker::delivery::Outcome;

use crate::world::World;

#[tokio::test]
async fn unicode_domain_is_sent_as_a_label() {
    let mut world = World::new().await;
    world.set("MAIL_FROM", "Latchkey <no-reply@b\u{fc}cher.example>");
    world.sink.offer(&["8BITMIME"]);
    world.user("ada@m\u{fc}nchen.example").await;
    let (_, mail) = world.reset("ada@m\u{fc}nchen.example").await;

    assert_eq!(world.deliver(mail).await, Outcome::Sent);

    let arrived = world.sink.mails().remove(0);
    assert_eq!(arrived.from, "no-reply@xn--bcher-kva.example");
    assert_eq!(arrived.to, ["ada@xn--mnchen-3ya.example"]);
    assert!(arrived.raw.is_ascii(), "{}", arrived.raw);
}

#[tokio::test]
async fn unicode_local_part_without_smtputf8_is_deferred() {
    let world = World::new().await;
    world.user("j\u{f6}rg@m\u{fc}nchen.example").await;
    let (_, mail) = world.reset("j\u{f6}rg@m\u{fc}nchen.example").await;
    world.sink.offer(&["8BITMIME"]);

    assert_eq!(world.deliver(mail).await, Outcome::Deferred);
    let row = world.row(mail).await;
    assert_eq!(row.state, MailState::Queued);
    let words = row.last_error.unwrap();
    assert!(words.contains("SMTPUTF8"), "{words}");
    let commands = world.sink.commands();
    assert!(
        !commands.iter().any(|it| it.starts_with("MAIL")),
        "{commands:?}"
    );

    world.sink.offer(&["8BITMIME", "SMTPUTF8"]);
    world.clock.advance(TimeDelta::seconds(3));
    assert_eq!(world.deliver(mail).await, Outcome::Sent);
    let commands = world.sink.commands();
    let sender = commands.iter().find(|it| it.starts_with("MAIL")).unwrap();
    assert!(sender.contains(" SMTPUTF8"), "{sender}");
    assert_eq!(
        world.sink.mails()[0].to,
        ["j\u{f6}rg@xn--mnchen-3ya.example"]
    );
}
