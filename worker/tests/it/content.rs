//! The content of mails, and the mails that are not sent.

use chrono::TimeDelta;
use latchkey_shared::models::{
    mail::{MailKind, MailState},
    password_reset, user,
};
use latchkey_worker::delivery::Outcome;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};

use crate::test_app::{RESET, TestApp};

/// Codes and notices have sender, recipient, date, Message-ID and `Auto-Submitted` (RFC 3834), and a text and an HTML part.
#[tokio::test]
async fn every_mail_kind_has_headers_and_both_parts() {
    let app = TestApp::new().await;
    let user = app.user("Ada@Example.com").await;
    let mut mails = vec![app.reset("ada@example.com").await.1];
    for kind in [
        MailKind::PasswordChanged,
        MailKind::Welcome,
        MailKind::Activated,
    ] {
        mails.push(app.notice(kind, &user).await);
    }

    for mail in &mails {
        assert_eq!(app.deliver(*mail).await, Outcome::Sent);
    }

    let arrived = app.sink.mails();
    assert_eq!(arrived.len(), 4);
    let subjects = [
        "is your Latchkey code",
        "Your Latchkey password was changed",
        "Welcome to Latchkey",
        "Your Latchkey account is active",
    ];
    for ((id, mail), subject) in mails.iter().zip(arrived).zip(subjects) {
        let row = app.row(*id).await;
        assert!(mail.subject.contains(subject), "{}", mail.subject);
        assert_eq!(mail.from, "no-reply@example.com");
        assert_eq!(mail.to.join(","), row.recipient);
        assert_eq!(mail.message_id, row.message_id);
        assert_eq!(mail.message_id, format!("{id}@accounts.example.com"));
        for (name, value) in [
            ("From", "Latchkey <no-reply@example.com>"),
            ("To", &row.recipient),
            ("Auto-Submitted", "auto-generated"),
        ] {
            let header = mail.header(name).unwrap_or_default().replace('"', "");
            assert_eq!(header, value, "{name}");
        }
        assert!(mail.header("Date").is_some());
        assert!(mail.raw.contains("multipart/alternative"));
        assert_eq!(mail.raw.matches("Content-ID: <logo>").count(), 1);
        assert_eq!(mail.raw.matches("Content-Disposition: inline").count(), 1);
        assert!(mail.text.contains("Latchkey") && mail.html.contains("<html"));
        assert_eq!((row.state, row.attempts), (MailState::Sent, 1));
        assert_eq!(row.sent_at, Some(app.clock.now()));
    }
}

/// The text needs no transfer encoding, so that an operator can read a mail in `MAIL_DIR`.
#[tokio::test]
async fn text_part_is_readable_in_raw_mail() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (_, code) = app.reset("ada@example.com").await;
    for mail in [code, app.notice(MailKind::PasswordChanged, &user).await] {
        app.deliver(mail).await;
    }

    for mail in app.sink.mails() {
        let text = mail.text.trim().replace('\n', "\r\n");
        assert!(mail.raw.contains(&text), "{}", mail.raw);
        assert!(mail.raw.is_ascii());
    }
}

/// O1: a code is valid for five minutes after the SMTP server accepted its mail.
#[tokio::test]
async fn code_lifetime_starts_when_mail_is_accepted() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (reset, mail) = app.reset("ada@example.com").await;
    app.clock.advance(TimeDelta::minutes(2));

    app.deliver(mail).await;

    let row = app.reset_row(reset).await;
    let end = app.clock.now() + TimeDelta::minutes(5);
    assert_eq!(row.code_expires_at, Some(end));
    assert_eq!(row.user_id, Some(user.id));
    assert!(app.sink.mails()[0].text.contains("expires in 5 minutes"));
}

/// O1: a code is not valid longer than its reset.
#[tokio::test]
async fn code_expires_no_later_than_its_reset() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    let (reset, mail) = app.reset("ada@example.com").await;
    app.clock.advance(RESET - TimeDelta::minutes(3));

    app.deliver(mail).await;

    let row = app.reset_row(reset).await;
    assert_eq!(row.code_expires_at, Some(row.expires_at));
    assert!(app.sink.mails()[0].text.contains("expires in 3 minutes"));
}

#[tokio::test]
async fn mail_to_unknown_address_is_cancelled() {
    let app = TestApp::new().await;
    let (reset, mail) = app.reset("unknown@example.com").await;

    assert_eq!(app.deliver(mail).await, Outcome::Cancelled);

    let row = app.row(mail).await;
    assert_eq!(row.state, MailState::Cancelled);
    assert_eq!(row.last_error.as_deref(), Some("no active account"));
    assert!(app.codes().find(reset).await.unwrap().is_none());
    assert!(app.sink.mails().is_empty());
}

#[tokio::test]
async fn mail_to_deactivated_account_is_cancelled() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (_, code) = app.reset("ada@example.com").await;
    let notice = app.notice(MailKind::PasswordChanged, &user).await;
    let now = app.clock.now();
    user::deactivate(&app.database.db, user.id, now)
        .await
        .unwrap();

    for mail in [code, notice] {
        assert_eq!(app.deliver(mail).await, Outcome::Cancelled);
    }

    assert!(app.sink.mails().is_empty());
}

/// D1: The last mail to an owner is sent after the account is deleted, in its language.
#[tokio::test]
async fn mail_of_deleted_account_needs_no_account() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    let mut user = app.user("ada@example.com").await;
    user.language = Some("ar-EG".parse().unwrap());
    let mail = app.notice(MailKind::AccountDeleted, &user).await;
    assert!(user::staff::delete(db, user.id).await.unwrap());

    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    let mails = app.sink.mails();
    assert!(mails[0].subject.contains("تم حذف حسابك"));
    assert_eq!(mails[0].to, ["ada@example.com"]);
}

/// D2: The notice of a scheduled deletion is not sent after a login has cancelled it.
#[tokio::test]
async fn mail_of_cancelled_deletion_is_cancelled() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let mail = app.notice(MailKind::DeletionScheduled, &user).await;

    assert_eq!(app.deliver(mail).await, Outcome::Cancelled);

    let reason = app.row(mail).await.last_error;
    assert_eq!(reason.as_deref(), Some("the deletion was cancelled"));
}

/// A code does not arrive after its reset has ended, for example by a change of the password.
#[tokio::test]
async fn mail_of_ended_reset_is_cancelled() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (reset, mail) = app.reset("ada@example.com").await;
    let (db, now) = (&app.database.db, app.clock.now());
    password_reset::bind(db, &[reset]).await.unwrap();
    password_reset::end_all(db, user.id, now).await.unwrap();

    assert_eq!(app.deliver(mail).await, Outcome::Cancelled);
    assert!(app.sink.mails().is_empty());
}

/// A code is not sent after its reset has expired, and a notice not after three days.
#[tokio::test]
async fn overdue_mail_expires_unsent() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (_, code) = app.reset("ada@example.com").await;
    let notice = app.notice(MailKind::Welcome, &user).await;

    for (mail, lifetime) in [(code, RESET), (notice, TimeDelta::days(3))] {
        app.clock.advance(lifetime);
        assert_eq!(app.deliver(mail).await, Outcome::Expired);
        assert_eq!(app.deliver(mail).await, Outcome::NotClaimed);
        assert_eq!(app.row(mail).await.state, MailState::Expired);
    }
    assert!(app.sink.mails().is_empty());
}

/// Several workers may get a job for the same mail. Only the one that claims the row sends it.
#[tokio::test]
async fn repeated_delivery_sends_mail_once() {
    let app = TestApp::new().await;
    let mail = app.queue_code("ada@example.com").await;
    let delivery = app.delivery();

    let outcomes = tokio::join!(
        delivery.deliver(mail),
        delivery.deliver(mail),
        delivery.deliver(mail),
        delivery.deliver(mail),
    );

    let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3].map(Result::unwrap);
    let sent = outcomes.iter().filter(|it| **it == Outcome::Sent).count();
    assert_eq!(sent, 1, "{outcomes:?}");
    assert_eq!(app.deliver(mail).await, Outcome::NotClaimed);
    assert_eq!(app.sink.mails().len(), 1);
}

/// The rows have an unknown kind, a header injection as recipient, and no account.
#[tokio::test]
async fn invalid_row_fails_without_affecting_others() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let (_, good) = app.reset("ada@example.com").await;
    let kindless = app.notice(MailKind::Welcome, &user).await;
    let addressless = app.notice(MailKind::Activated, &user).await;
    let aimless = app.notice(MailKind::PasswordChanged, &user).await;
    let db = &app.database.db;
    let mut row = app.row(kindless).await.into_active_model();
    row.kind = Set("carrier_pigeon".to_owned());
    row.update(db).await.unwrap();
    let mut row = app.row(addressless).await.into_active_model();
    row.recipient = Set("not an address\r\nBcc: x@example.com".to_owned());
    row.update(db).await.unwrap();
    let mut row = app.row(aimless).await.into_active_model();
    row.user_id = Set(None);
    row.update(db).await.unwrap();

    for mail in [kindless, addressless, aimless] {
        assert_eq!(app.deliver(mail).await, Outcome::Failed);
        assert_eq!(app.row(mail).await.state, MailState::Failed);
    }
    assert_eq!(app.deliver(good).await, Outcome::Sent);
    assert_eq!(app.sink.mails().len(), 1);
}
