//! Mails go to the stored address of the account.

use latchkey_shared::models::mail::MailKind;
use latchkey_worker::delivery::Outcome;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};

use crate::test_app::TestApp;

/// M1: the recipient in the row of a code does not matter.
#[tokio::test]
async fn code_goes_to_the_stored_address() {
    let app = TestApp::new().await;
    app.user("Kate@Example.com").await;
    let (_, mail) = app.reset("kate@example.com").await;
    let mut row = app.row(mail).await.into_active_model();
    row.recipient = Set("mallory@example.com".to_owned());
    row.update(&app.database.db).await.unwrap();

    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    assert_eq!(app.sink.mails()[0].to, ["Kate@Example.com"]);
    let row = app.row(mail).await;
    assert_eq!(row.recipient, "Kate@Example.com");
    assert_eq!(row.recipient_key.as_str(), "kate@example.com");
}

/// The row stores only the key of an address that no account has.
#[tokio::test]
async fn code_without_account_stores_only_the_key() {
    let app = TestApp::new().await;
    let (_, mail) = app.reset("UNKNOWN@B\u{fc}cher.example").await;
    assert_eq!(app.deliver(mail).await, Outcome::Cancelled);
    assert_eq!(
        app.row(mail).await.recipient,
        "unknown@xn--bcher-kva.example"
    );
}

/// An account whose address changed after the request gets no code.
#[tokio::test]
async fn code_does_not_follow_changed_address() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (_, mail) = app.reset("ada@example.com").await;
    let mut row = user.into_active_model();
    let new: latchkey_shared::types::email::Email = "mallory@example.com".parse().unwrap();
    (row.email_key, row.email) = (Set(new.key()), Set(new));
    row.update(&app.database.db).await.unwrap();

    assert_eq!(app.deliver(mail).await, Outcome::Cancelled);
    assert!(app.sink.mails().is_empty());
}

/// A domain is sent as A-labels, also in scripts with combining marks.
#[tokio::test]
async fn notice_to_unicode_domain_arrives() {
    let app = TestApp::new().await;
    for (email, arrives_at) in [
        ("x@b\u{fc}cher.example", "x@xn--bcher-kva.example"),
        ("संपर्क@डाटामेल.भारत", "संपर्क@xn--c2bd4bq1db8d.xn--h2brj9c"),
    ] {
        let user = app.user(email).await;
        let mail = app.notice(MailKind::Activated, &user).await;
        assert_eq!(
            app.deliver(mail).await,
            Outcome::Sent,
            "{:?}",
            app.row(mail).await
        );
        let mails = app.sink.mails();
        assert_eq!(mails.last().unwrap().to, [arrives_at]);
        assert_eq!(app.row(mail).await.recipient, email);
    }
}
