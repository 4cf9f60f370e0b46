//! How the way to the server is secured.

use latchkey_testing::Security;
use latchkey_worker::delivery::Outcome;

use crate::world::World;

async fn deliver(world: &World) -> Outcome {
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.deliver(mail).await
}

#[tokio::test]
async fn starttls_is_used_where_it_is_offered() {
    let world = World::with(Security::StartTls, None).await;
    assert_eq!(deliver(&world).await, Outcome::Sent);
    assert!(world.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn tls_from_the_first_byte_works_with_a_login() {
    let world = World::with(Security::Implicit, Some(("ada", "secret"))).await;
    assert_eq!(deliver(&world).await, Outcome::Sent);
    assert!(world.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn a_server_without_starttls_is_good_enough_unless_tls_is_required() {
    let mut world = World::new().await;
    let url = world.sink.url();
    world.set("SMTP_URL", &url);
    assert_eq!(deliver(&world).await, Outcome::Sent);
    assert!(!world.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn required_tls_sends_nothing_in_the_open() {
    let mut world = World::new().await;
    let url = format!("{}?tls=required", world.sink.url());
    world.set("SMTP_URL", &url);
    assert_eq!(deliver(&world).await, Outcome::Deferred);
    assert!(world.sink.mails().is_empty());
}

#[tokio::test]
async fn a_password_is_not_sent_in_the_open_unless_somebody_says_so() {
    let world = World::with(Security::Plain, Some(("ada", "secret"))).await;
    assert_eq!(deliver(&world).await, Outcome::Deferred);
    assert!(world.sink.mails().is_empty());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let mut world = World::with(Security::Implicit, None).await;
    world.variables.remove("SMTP_CA_FILE");
    assert_eq!(deliver(&world).await, Outcome::Deferred);
    assert!(world.sink.mails().is_empty());
}
