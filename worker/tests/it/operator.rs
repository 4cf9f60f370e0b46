//! What an operator sees and does at the command line.

use latchkey_shared::mail::MailState;
use latchkey_testing::Fault;
use latchkey_worker::delivery::Outcome;

use crate::world::World;

#[tokio::test]
async fn failed_mails_can_be_listed_and_queued_anew() {
    let world = World::new().await;
    world.user("ada@example.com").await;
    let (_, mail) = world.reset("ada@example.com").await;
    world.sink.set_fault(Fault::ReplyFirst(1, 550));
    assert_eq!(world.deliver(mail).await, Outcome::Failed);

    let list = ["mails", "list", "--state", "failed"];
    let (code, table) = world.process(&list).output().await;
    assert_eq!(code, Some(0), "{table}");
    for part in [
        &mail.to_string(),
        "reset_code",
        "failed",
        "ada@example.com",
        "550",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let (_, json) = world.process(&["mails", "list", "--json"]).output().await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["state"], &json["attempts"]),
        (&"failed".into(), &1.into())
    );

    let (code, text) = world
        .process(&["mails", "retry", "--failed"])
        .output()
        .await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(world.row(mail).await.state, MailState::Queued);
    world.clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!(world.deliver(mail).await, Outcome::Sent);

    let (code, text) = world
        .process(&["mails", "retry", &mail.to_string()])
        .output()
        .await;
    assert_eq!(code, Some(3), "sent already: {text}");
    let (code, text) = world.process(&list).output().await;
    assert_eq!(code, Some(3), "none failed: {text}");
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_help_lists_the_variables() {
    let world = World::new().await;
    for wrong in [
        vec!["mails", "retry"],
        vec!["mails", "list", "--state", "lost"],
        vec!["fly"],
    ] {
        let (code, text) = world.process(&wrong).output().await;
        assert_eq!(code, Some(2), "{wrong:?}: {text}");
    }
    let (code, help) = world.process(&["--help"]).output().await;
    assert_eq!(code, Some(0));
    for variable in [
        "SMTP_URL",
        "SMTP_CA_FILE",
        "WORKER_CONCURRENCY",
        "SECRET_KEY",
    ] {
        assert!(help.contains(variable), "{variable}: {help}");
    }
}
