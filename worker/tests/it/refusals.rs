//! R3: the replies of an SMTP server that fail a mail, and those that defer it.

use chrono::TimeDelta;
use latchkey_shared::models::mail::MailState;
use latchkey_testing::{Fault, Security, Stage};
use latchkey_worker::delivery::Outcome;

use crate::test_app::TestApp;

/// Longer than the back-off after a first attempt.
const LATER: TimeDelta = TimeDelta::seconds(3);

/// Returns the outcome of a delivery with this reply at a stage. Then the server accepts everything, and a deferred mail must be
/// delivered.
async fn outcome_of(
    app: &mut TestApp,
    number: usize,
    stage: Stage,
    reply: &'static str,
) -> Outcome {
    let recipient = format!("user{number}@example.com");
    let mail = app.queue_code(&recipient).await;
    app.sink.set_fault(Fault::Reply(stage, reply));
    let outcome = app.deliver(mail).await;
    let row = app.row(mail).await;
    assert_eq!(row.attempts, 1, "{stage:?} {reply}");
    let words = row.last_error.expect("the server's words");
    assert!(words.contains(&reply[..3]), "{words}");

    app.sink.set_fault(Fault::None);
    if row.state == MailState::Queued {
        app.clock.advance(LATER);
        assert_eq!(app.deliver(mail).await, Outcome::Sent, "{stage:?} {reply}");
    }
    outcome
}

#[tokio::test]
async fn refused_recipient_address_or_mailbox_fails_the_mail() {
    let mut app = TestApp::new().await;
    let replies = [
        "550 no such user",
        "551 user unknown here",
        "553 sorry, no mailbox here by that name",
        "550 5.1.1 User unknown",
        "551 5.1.6 user not found",
        "554 5.2.1 mailbox disabled",
        "556 5.1.10",
        "550-5.1.1 The account does not exist.\r\n550 5.1.1 Check for typos.",
        "550-No such person\r\n550 at this address",
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let outcome = outcome_of(&mut app, number, Stage::Recipient, reply).await;
        assert_eq!(outcome, Outcome::Failed, "{reply}");
    }
}

/// These replies are about the client, the sender, a full mailbox or a policy. The operator or the owner can change that.
#[tokio::test]
async fn recipient_refused_for_other_reason_defers_mail() {
    let mut app = TestApp::new().await;
    let replies = [
        "550 5.1.1 Relay not allowed",
        "550 5.1.1 <no-reply@localhost>: user unknown",
        "550 5.1.1 Graylisted, come back in 5 minutes",
        "550-5.1.1 Recipient address rejected: unverified address:\r\n550 5.1.1 Address verification in progress",
        "551 5.1.6 moved",
        "556 5.1.10 the domain takes no mail",
        "550 5.1.2 Relay not allowed.",
        "550 5.1.3 Relay not permitted",
        "550-5.1.1 User unknown\r\n550 5.1.1 but your IP 192.0.2.1 is blocked by a list",
        "550-5.2.1 The user you are trying to contact is receiving mail at a rate that\r\n550 5.2.1 prevents additional messages",
        "521 5.2.1 : we will not accept delivery of this message.",
        "500 unrecognized",
        "501 syntax",
        "503 5.5.1 polite people say HELO first",
        "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname",
        "521 no mail here",
        "530 5.7.0 Must issue a STARTTLS command first",
        "535 5.7.8 authenticate",
        "550 5.7.1 Relaying denied",
        "550 5.7.26 unauthenticated mail",
        "550 5.1.7 bad sender address",
        "550 5.1.8 Sender address rejected: Domain not found",
        "550 5.5.0 policy",
        "552 5.2.2 mailbox full",
        "550 mailbox is over quota",
        "550 5.1.0 address rejected",
        "550 5.2.0 mailbox",
        "550 5.4.1 Access denied",
        "550-Blocked\r\n550 5.7.1 by policy",
        "550 4.2.2 a code of another class",
        "553 5.7.1 sender not owned by user",
        "552 too much",
        "554 relay access denied",
        "554 5.7.1 Relay access denied",
        "450 4.7.1 greylisted",
        "450 5.1.1 a code of another class",
        "452 4.2.2 mailbox full for now",
        "421 4.7.0 too busy",
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let outcome = outcome_of(&mut app, number, Stage::Recipient, reply).await;
        assert_eq!(outcome, Outcome::Deferred, "{reply}");
    }
}

/// R3: servers without enhanced status codes may refuse the client only at `RCPT TO`, as Postfix does by default. Only words
/// that name a missing mailbox fail a mail.
#[tokio::test]
async fn bare_refusal_without_missing_mailbox_defers() {
    let app = TestApp::new().await;
    let replies = [
        "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
        "550 relay not permitted",
        "553 sorry, that domain isn't in my list of allowed rcpthosts",
        "550-Please turn on SMTP Authentication in your mail client.\r\n550 not permitted to relay",
        "550-Verification failed for <no-reply@example.com>\r\n550-No Such User Here\r\n550 Sender verify failed",
        "550 blocked using zen.spamhaus.org",
        "551 no PTR record",
        "551 not logged in",
        "553 sorry, you must check your mail before sending (POP before SMTP)",
        "553 sorry, your mailserver is rejected by my badhost list",
        "550 Sending is disabled for your account",
        "550 unresolvable host vm",
        "550 System error",
        "550 refused",
        "550 Empf\u{e4}nger unbekannt",
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let recipient = format!("user{number}@example.com");
        let mail = app.queue_code(&recipient).await;
        app.sink.set_fault(Fault::Reply(Stage::Recipient, reply));
        assert_eq!(app.deliver(mail).await, Outcome::Deferred, "{reply}");
        let failure = app.row(mail).await.failure.expect("a failure");
        assert!(failure.starts_with("refusal RCPT TO 55"), "{failure}");
    }
}

/// RFC 5321, 4.2: a client has to understand replies whose text is invalid. lettre does not report their codes.
#[tokio::test]
async fn unreadable_reply_defers_with_cause_of_stage() {
    let app = TestApp::new().await;
    let reply = "550\t5.1.1 unknown";
    let stages = [
        (Stage::Greeting, "connection connection unreadable"),
        (Stage::Sender, "sender MAIL FROM unreadable"),
        (Stage::Recipient, "refusal RCPT TO unreadable"),
        (Stage::Data, "refusal DATA unreadable"),
        (Stage::Body, "refusal message unreadable"),
    ];
    for (number, (stage, expected)) in stages.into_iter().enumerate() {
        let recipient = format!("user{number}@example.com");
        let mail = app.queue_code(&recipient).await;
        app.sink.set_fault(Fault::Reply(stage, reply));
        assert_eq!(app.deliver(mail).await, Outcome::Deferred, "{stage:?}");
        let row = app.row(mail).await;
        assert_eq!(row.failure.as_deref(), Some(expected));
        let words = row.last_error.expect("the server's words");
        assert!(words.contains("5.1.1 unknown"), "{words}");
    }
}

/// Only a reply to `RCPT TO` tells that the recipient does not exist.
#[tokio::test]
async fn refusal_at_another_stage_defers_the_mail() {
    let mut app = TestApp::with(Security::StartTls, Some(("ada", "velvet-secret"))).await;
    let stages = [
        (Stage::Greeting, "554 5.7.1 no service"),
        (Stage::Greeting, "550 5.1.1 no service"),
        (Stage::Ehlo, "504 5.5.2 need fully-qualified hostname"),
        (Stage::Ehlo, "550 5.7.1 helo refused"),
        (Stage::StartTls, "554 5.7.3 no TLS"),
        (Stage::Auth, "535 5.7.8 wrong credentials"),
        (Stage::Auth, "550 5.1.1 no such login"),
        (Stage::Sender, "550 5.1.1 sender unknown"),
        (Stage::Sender, "553 sender refused"),
        (Stage::Sender, "530 5.7.0 Authentication required"),
        (Stage::Data, "550 5.1.1 no"),
        (Stage::Data, "554 5.5.1 no valid recipients"),
        (Stage::Body, "550 5.1.1 unknown after all"),
        (Stage::Body, "550 refused"),
        (Stage::Body, "552 5.3.4 too big"),
        (Stage::Body, "554 5.7.1 spam"),
    ];
    for (number, (stage, reply)) in stages.into_iter().enumerate() {
        let outcome = outcome_of(&mut app, number, stage, reply).await;
        assert_eq!(outcome, Outcome::Deferred, "{stage:?} {reply}");
    }
}

#[tokio::test]
async fn refused_mail_expires_with_the_servers_reply() {
    let app = TestApp::new().await;
    let mail = app.queue_code("ada@example.com").await;
    let reply = "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname";
    app.sink.set_fault(Fault::Reply(Stage::Recipient, reply));
    assert_eq!(app.deliver(mail).await, Outcome::Deferred);

    app.clock.advance(TimeDelta::minutes(11));

    assert_eq!(app.deliver(mail).await, Outcome::Expired);
    let row = app.row(mail).await;
    assert_eq!(row.state, MailState::Expired);
    let words = row.last_error.unwrap();
    assert!(words.contains("need fully-qualified hostname"), "{words}");
}

/// Rows contain no recipient, credential or control character of a reply.
#[tokio::test]
async fn secrets_in_replies_are_redacted() {
    let app = TestApp::with(Security::StartTls, Some(("postmaster", "velvet-secret"))).await;
    let mail = app.queue_code("ada.lovelace@example.com").await;
    for (stage, reply, kept) in [
        (
            Stage::Recipient,
            "450 <Ada.Lovelace@example.com>: \x1b[31mAda.Lovelace is away",
            "is away",
        ),
        (
            Stage::Auth,
            "454 postmaster velvet-secret cG9zdG1hc3Rlcg== dmVsdmV0LXNlY3JldA== later",
            "later",
        ),
        (
            Stage::Auth,
            "454 AHBvc3RtYXN0ZXIAdmVsdmV0LXNlY3JldA== later",
            "later",
        ),
        (
            Stage::Auth,
            "454 VELVET-SECRET velvet%2Dsecret cG9zdG1hc3RlcgBwb3N0bWFzdGVyAHZlbHZldC1zZWNyZXQ later",
            "later",
        ),
    ] {
        app.sink.set_fault(Fault::Reply(stage, reply));
        assert_eq!(app.deliver(mail).await, Outcome::Deferred);
        let words = app.row(mail).await.last_error.unwrap();
        assert!(words.contains(kept) && words.contains("45"), "{words}");
        let lower = words.to_lowercase();
        for secret in [
            "lovelace",
            "\x1b",
            "velvet",
            "postmaster",
            "cg9zdg",
            "dmvsdmv0",
            "ahbvc3",
            "cg9zdg1h",
            "%2d",
        ] {
            assert!(!lower.contains(secret), "{secret} is in {words}");
        }
        app.clock.advance(TimeDelta::seconds(10));
    }
}
