//! R2, R3: the overview tells the server's refusals of the service from its refusal of one recipient.

use chrono::TimeDelta;
use latchkey_testing::{Fault, Stage};

use crate::{dashboard::Dashboard, world::World};

/// What the overview says of SMTP to an account, with the class of its colour.
async fn smtp(world: &World, email: &str) -> (String, String) {
    let html = Dashboard::of(world, email).await.see("/admin/").await;
    let (_, row) = html.split_once("<span>SMTP</span>").unwrap();
    let (class, says) = row
        .split_once("<span class=\"")
        .unwrap()
        .1
        .split_once("\">")
        .unwrap();
    (class.to_owned(), says.split('<').next().unwrap().to_owned())
}

/// Registers an account, whose mail is tried under this fault.
async fn register(world: &World, email: &str, fault: Fault) {
    world.pass(TimeDelta::minutes(1));
    world.register(email).await;
    world.sink.set_fault(fault);
    world.deliver_all().await;
    world.sink.set_fault(Fault::None);
}

#[tokio::test]
async fn dashboard_shows_refusals_of_the_service_and_not_of_one_recipient() {
    let world = World::new().await;
    world.superuser("root@example.com").await;
    world.staff("staff@example.com", "view_users").await;
    world.deliver_all().await;
    let denied = Fault::Reply(
        Stage::Recipient,
        "554 5.7.1 <ada@one.example>: Relay access denied",
    );

    register(&world, "ada@one.example", denied.clone()).await;
    let (class, says) = smtp(&world, "root@example.com").await;
    assert!(class == "good" && says.contains("one recipient"), "{says}");

    register(&world, "eve@two.example", denied).await;
    let (class, says) = smtp(&world, "root@example.com").await;
    assert!(
        class != "good" && says.contains("Relay access denied"),
        "{says}"
    );
    assert!(
        says.starts_with("mails to several domains are rejected"),
        "{says}"
    );
    assert!(!says.contains('@'), "{says}");
    let (class, says) = smtp(&world, "staff@example.com").await;
    assert_eq!(
        (class != "good", says.as_str()),
        (true, "mails to several domains are rejected")
    );

    world.pass(TimeDelta::minutes(6));
    world.deliver_all().await;
    let (class, says) = smtp(&world, "root@example.com").await;
    assert!(
        class == "good" && says.starts_with("last mail accepted"),
        "{says}"
    );

    for (email, stage, reply) in [
        ("kate@one.example", Stage::Greeting, "554 5.7.1 no service"),
        (
            "joan@one.example",
            Stage::Sender,
            "553 5.7.1 not your sender",
        ),
    ] {
        register(&world, email, Fault::Reply(stage, reply)).await;
        let (class, says) = smtp(&world, "root@example.com").await;
        assert!(class != "good" && says.contains(&reply[10..]), "{says}");
    }
}
