//! TLS and logins on SMTP connections.

use latchkey_testing::Security;
use latchkey_worker::delivery::Outcome;

use crate::world::World;

async fn deliver(world: &World) -> Outcome {
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.deliver(mail).await
}

#[tokio::test]
async fn offered_starttls_is_used() {
    let world = World::with(Security::StartTls, None).await;
    assert_eq!(deliver(&world).await, Outcome::Sent);
    assert!(world.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn implicit_tls_works_with_login() {
    let world = World::with(Security::Implicit, Some(("ada", "secret"))).await;
    assert_eq!(deliver(&world).await, Outcome::Sent);
    assert!(world.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn server_without_starttls_is_accepted_by_default() {
    let mut world = World::new().await;
    let url = world.sink.url();
    world.set("SMTP_URL", &url);
    assert_eq!(deliver(&world).await, Outcome::Sent);
    assert!(!world.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn required_tls_sends_no_plain_text() {
    let mut world = World::new().await;
    let url = format!("{}?tls=required", world.sink.url());
    world.set("SMTP_URL", &url);
    assert_eq!(deliver(&world).await, Outcome::Deferred);
    assert!(world.sink.mails().is_empty());
}

#[tokio::test]
async fn password_is_sent_unencrypted_only_if_configured() {
    let world = World::with(Security::Plain, Some(("ada", "secret"))).await;
    assert_eq!(deliver(&world).await, Outcome::Deferred);
    assert!(world.sink.mails().is_empty());
}

#[tokio::test]
async fn certificate_of_unknown_authority_is_rejected() {
    let mut world = World::with(Security::Implicit, None).await;
    world.variables.remove("SMTP_CA_FILE");
    assert_eq!(deliver(&world).await, Outcome::Deferred);
    assert!(world.sink.mails().is_empty());
}
