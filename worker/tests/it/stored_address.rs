//! Where a mail goes: to the address that the account has stored.

use latchkey_shared::models::mail::MailKind;
use latchkey_worker::delivery::Outcome;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};

use crate::world::World;

/// M1: the row of a code's mail does not decide where it goes, whatever it names.
#[tokio::test]
async fn code_goes_to_the_stored_address_whatever_the_row_says() {
    let world = World::new().await;
    world.user("Kate@Example.com").await;
    let (_, mail) = world.reset("kate@example.com").await;
    let mut row = world.row(mail).await.into_active_model();
    row.recipient = Set("mallory@example.com".to_owned());
    row.update(&world.database.db).await.unwrap();

    assert_eq!(world.deliver(mail).await, Outcome::Sent);

    assert_eq!(world.sink.mails()[0].to, ["Kate@Example.com"]);
    let row = world.row(mail).await;
    assert_eq!(row.recipient, "Kate@Example.com");
    assert_eq!(row.recipient_key.as_str(), "kate@example.com");
}

/// Of an address that was only typed the row keeps the key, also when there is no account.
#[tokio::test]
async fn code_for_nobody_keeps_the_key_alone() {
    let world = World::new().await;
    let (_, mail) = world.reset("NOBODY@B\u{fc}cher.example").await;
    assert_eq!(world.deliver(mail).await, Outcome::Cancelled);
    assert_eq!(
        world.row(mail).await.recipient,
        "nobody@xn--bcher-kva.example"
    );
}

/// An account that took another address after the request gets no code at it.
#[tokio::test]
async fn code_does_not_follow_an_account_to_another_address() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    let mut row = user.into_active_model();
    let new: latchkey_shared::types::email::Email = "mallory@example.com".parse().unwrap();
    (row.email_key, row.email) = (Set(new.key()), Set(new));
    row.update(&world.database.db).await.unwrap();

    assert_eq!(world.deliver(mail).await, Outcome::Cancelled);
    assert!(world.sink.mails().is_empty());
}

/// A domain goes out as A-labels, and scripts with combining marks are no obstacle.
#[tokio::test]
async fn notice_to_a_domain_in_unicode_arrives() {
    let world = World::new().await;
    for (email, arrives_at) in [
        ("x@b\u{fc}cher.example", "x@xn--bcher-kva.example"),
        ("संपर्क@डाटामेल.भारत", "संपर्क@xn--c2bd4bq1db8d.xn--h2brj9c"),
    ] {
        let user = world.user(email).await;
        let mail = world.notice(MailKind::Activated, &user).await;
        assert_eq!(
            world.deliver(mail).await,
            Outcome::Sent,
            "{:?}",
            world.row(mail).await
        );
        let mails = world.sink.mails();
        assert_eq!(mails.last().unwrap().to, [arrives_at]);
        assert_eq!(world.row(mail).await.recipient, email);
    }
}
