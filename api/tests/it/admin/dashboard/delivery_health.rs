//! R2, R3: the overview tells the server's refusals of the service from its refusal of one recipient.

use chrono::TimeDelta;
use latchkey_testing::{Fault, Stage};

use crate::{support::dashboard::Dashboard, support::test_app::TestApp};

/// What the overview says of SMTP to an account, with the class of its colour.
async fn smtp(app: &TestApp, email: &str) -> (String, String) {
    let html = Dashboard::signed_in(app, email)
        .await
        .get_html("/admin/")
        .await;
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
async fn register(app: &TestApp, email: &str, fault: Fault) {
    app.advance_clock(TimeDelta::minutes(1));
    app.register(email).await;
    app.sink.set_fault(fault);
    app.deliver_all().await;
    app.sink.set_fault(Fault::None);
}

#[tokio::test]
async fn dashboard_shows_refusals_of_the_service_and_not_of_one_recipient() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_staff("staff@example.com", "view_users").await;
    app.deliver_all().await;
    let denied = Fault::Reply(
        Stage::Recipient,
        "554 5.7.1 <ada@one.example>: Relay access denied",
    );

    register(&app, "ada@one.example", denied.clone()).await;
    let (class, says) = smtp(&app, "root@example.com").await;
    assert!(class == "good" && says.contains("one recipient"), "{says}");

    register(&app, "eve@two.example", denied).await;
    let (class, says) = smtp(&app, "root@example.com").await;
    assert!(
        class != "good" && says.contains("Relay access denied"),
        "{says}"
    );
    assert!(
        says.starts_with("mails to several domains are rejected"),
        "{says}"
    );
    assert!(!says.contains('@'), "{says}");
    let (class, says) = smtp(&app, "staff@example.com").await;
    assert_eq!(
        (class != "good", says.as_str()),
        (true, "mails to several domains are rejected")
    );

    app.advance_clock(TimeDelta::minutes(6));
    app.deliver_all().await;
    let (class, says) = smtp(&app, "root@example.com").await;
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
        register(&app, email, Fault::Reply(stage, reply)).await;
        let (class, says) = smtp(&app, "root@example.com").await;
        assert!(class != "good" && says.contains(&reply[10..]), "{says}");
    }
}
