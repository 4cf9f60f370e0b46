//! SMTP connections: reuse, `EHLO` name and login.

use std::io;

use chrono::TimeDelta;
use latchkey_shared::clock::Clock;
use latchkey_testing::{Fault, Security, Stage};
use latchkey_worker::delivery::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::oneshot,
};

use crate::test_app::TestApp;

const EACH_SECURITY: [Security; 3] = [Security::Plain, Security::StartTls, Security::Implicit];

/// Delivers 24 concurrent codes by one worker, and checks that each took one attempt.
async fn deliver_at_once(fault: Fault) {
    let mut app = TestApp::new().await;
    app.users(24).await;
    let worker = app.worker(8);
    app.sink.set_fault(fault.clone());

    app.request_resets(24).await;

    app.finish(worker, 24).await;
    for row in app.rows().await {
        assert_eq!(row.attempts, 1, "{fault:?}: {:?}", row.last_error);
    }
}

/// Some servers accept one mail or recipient per connection. The code then arrives without a back-off.
#[tokio::test]
async fn closed_reused_connection_is_replaced_within_the_attempt() {
    for fault in [
        Fault::OneMailPerConnection(Some("421 4.7.0 one mail a connection")),
        Fault::OneMailPerConnection(Some("451 4.3.0 too many mails in this session")),
        Fault::OneMailPerConnection(None),
        Fault::CloseAtSecondRecipient,
    ] {
        deliver_at_once(fault).await;
    }
}

/// If a server accepts few connections at a time, further mails wait for one of them, without a back-off.
#[tokio::test]
async fn codes_wait_for_connections_of_limited_server() {
    for greeting in [Some("421 4.7.0 too many connections"), None] {
        deliver_at_once(Fault::MaxConnections(3, greeting)).await;
    }
}

/// Serves SMTP without a reply to `MAIL FROM` on the first connection, and refuses others.
async fn refuse_second_connection(
    listener: TcpListener,
    occupied: oneshot::Sender<()>,
) -> io::Result<()> {
    let (mut first, _) = listener.accept().await?;
    let mut command = [0; 512];
    for reply in ["220 ready\r\n", "250 vm\r\n"] {
        first.write_all(reply.as_bytes()).await?;
        let _ = first.read(&mut command).await?;
    }
    let _ = occupied.send(());
    loop {
        let (mut other, _) = listener.accept().await?;
        let refusal = b"421 4.7.0 too many connections\r\n";
        other.write_all(refusal).await?;
    }
}

/// A mail that waits for a connection until its deadline reports why the server refused a new one.
#[tokio::test]
async fn wait_for_connection_ends_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (occupied, is_occupied) = oneshot::channel();
    let server = tokio::spawn(refuse_second_connection(listener, occupied));
    let mut app = TestApp::new().await;
    app.set("SMTP_URL", &format!("smtp://127.0.0.1:{port}?tls=none"));
    app.users(2).await;
    let delivery = app.delivery();
    let (_, late) = app.reset("user0@example.com").await;
    app.clock.advance(TimeDelta::seconds(595));
    let (_, first) = app.reset("user1@example.com").await;
    let occupying = tokio::spawn({
        let delivery = delivery.clone();
        async move { delivery.deliver(first).await }
    });
    is_occupied.await.unwrap();

    assert_eq!(delivery.deliver(late).await.unwrap(), Outcome::Deferred);

    let reason = app.row(late).await.last_error.unwrap();
    assert!(reason.contains("too many connections"), "{reason}");
    occupying.abort();
    server.abort();
}

/// A server that refuses a new connection is not asked again at once.
#[tokio::test]
async fn refused_new_connection_defers_without_another() {
    for (stage, reply) in [
        (Stage::Greeting, "421 4.7.0 too many connections"),
        (Stage::Sender, "421 4.3.2 shutting down"),
    ] {
        let app = TestApp::new().await;
        let mail = app.queue_code("ada@example.com").await;
        app.sink.set_fault(Fault::Reply(stage, reply));

        assert_eq!(app.deliver(mail).await, Outcome::Deferred);

        assert_eq!(app.sink.connections(), 1, "{reply}");
    }
}

/// The server may have accepted the mail, so the attempt does not send it again.
#[tokio::test]
async fn lost_reply_on_reused_connection_defers_mail() {
    let app = TestApp::new().await;
    app.users(2).await;
    let delivery = app.delivery();
    let (_, first) = app.reset("user0@example.com").await;
    let (_, second) = app.reset("user1@example.com").await;
    assert_eq!(delivery.deliver(first).await.unwrap(), Outcome::Sent);
    app.sink.set_fault(Fault::DropAfterAccept(1));

    assert_eq!(delivery.deliver(second).await.unwrap(), Outcome::Deferred);

    assert_eq!(app.sink.connections(), 1, "the connection was used again");
    assert_eq!(app.sink.mails().len(), 2);
}

async fn ehlo_with(settings: &[(&str, &str)]) -> String {
    let mut app = TestApp::new().await;
    for (key, value) in settings {
        app.set(key, value);
    }
    let mail = app.queue_code("ada@example.com").await;
    assert_eq!(app.deliver(mail).await, Outcome::Sent);
    app.sink.commands().remove(0)
}

#[tokio::test]
async fn ehlo_name_comes_from_setting_or_public_url() {
    for (settings, expected) in [
        (&[][..], "EHLO accounts.example.com"),
        (
            &[("SMTP_EHLO_NAME", "mail.example.org")][..],
            "EHLO mail.example.org",
        ),
        (
            &[("SMTP_EHLO_NAME", "[IPv6:2001:db8::1]")][..],
            "EHLO [IPv6:2001:db8::1]",
        ),
        (
            &[("PUBLIC_URL", "http://127.0.0.1:8000")][..],
            "EHLO [127.0.0.1]",
        ),
        (
            &[("PUBLIC_URL", "http://localhost:8000")][..],
            "EHLO [127.0.0.1]",
        ),
        (
            &[("PUBLIC_URL", "http://[2001:db8::7]:8000")][..],
            "EHLO [IPv6:2001:db8::7]",
        ),
    ] {
        assert_eq!(ehlo_with(settings).await, expected);
    }
}

/// Checks `doctor`, the row and the log of the worker.
#[tokio::test]
async fn unsupported_login_mechanisms_are_named() {
    let mut app = TestApp::with(Security::StartTls, Some(("ada", "velvet-secret"))).await;
    app.clock = Clock::system();
    app.sink
        .offer_extensions(&["STARTTLS", "AUTH XOAUTH2 OAUTHBEARER"]);
    app.user("eve@example.com").await;
    app.reset("eve@example.com").await;

    let (code, text) = app.process(&["doctor"]).output().await;
    assert_eq!(code, Some(1), "{text}");
    let words = "only XOAUTH2, OAUTHBEARER, which Latchkey does not support";
    assert!(text.contains(words), "{text}");

    let mut worker = app.process(&[]);
    worker.wait_for_line(words).await;
    let words = app.rows().await[0].last_error.clone().unwrap();
    assert!(words.contains("PLAIN and LOGIN"), "{words}");

    app.sink.offer_extensions(&["STARTTLS"]);
    let (_, text) = app.process(&["doctor"]).output().await;
    assert!(
        text.contains("offers no login on this connection"),
        "{text}"
    );
}

/// A `#` in the password would end the URL. The error asks for percent-encoding and does not contain the password.
#[tokio::test]
async fn raw_delimiter_in_smtp_password_stops_start() {
    let mut app = TestApp::new().await;
    app.set("SMTP_URL", "smtp://ada:velvet#secret@localhost:2525");

    for command in ["run", "doctor"] {
        let (code, text) = app.process(&[command]).output().await;

        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains("SMTP_URL") && text.contains("percent-encoded"),
            "{text}"
        );
        assert!(
            !text.contains("velvet") && !text.contains("secret@"),
            "{text}"
        );
    }
}

/// R3: a line without an end fills no memory, at any stage, with and without TLS.
#[tokio::test]
async fn reply_without_end_defers_after_32_kib() {
    for security in [Security::Plain, Security::StartTls, Security::Implicit] {
        let app = TestApp::with(security, None).await;
        app.user("ada@example.com").await;
        for stage in [
            Stage::Greeting,
            Stage::Ehlo,
            Stage::Sender,
            Stage::Recipient,
            Stage::Data,
            Stage::Body,
        ] {
            let (_, mail) = app.reset("ada@example.com").await;
            app.sink.set_fault(Fault::EndlessReply(stage));

            assert_eq!(app.deliver(mail).await, Outcome::Deferred, "{stage:?}");

            let reason = app.row(mail).await.last_error.unwrap_or_default();
            let expected =
                "reply not understood: the server sent more than 32 KiB in one conversation";
            assert!(
                reason.ends_with(expected),
                "{security:?} {stage:?}: {reason}"
            );
        }
    }
}

/// A connection that is used again has the whole limit for each mail.
#[tokio::test]
async fn long_replies_do_not_add_up_over_mails() {
    let app = TestApp::new().await;
    app.users(3).await;
    let delivery = app.delivery();
    // 15 KB.
    let reply = format!(
        "{}250 ok",
        format!("250-{}\r\n", "x".repeat(990)).repeat(15)
    );
    app.sink
        .set_fault(Fault::Reply(Stage::Sender, reply.leak()));
    for number in 0..3 {
        let (_, mail) = app.reset(&format!("user{number}@example.com")).await;
        assert_eq!(delivery.deliver(mail).await.unwrap(), Outcome::Sent);
    }
    assert_eq!(app.sink.connections(), 1);
}

/// R3: only 354 asks for the text, and only 2xx accepts it. A mail is not recorded as sent on the strength of another reply.
#[tokio::test]
async fn positive_reply_of_another_kind_defers() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    for (stage, reply) in [
        (Stage::Sender, "354 go"),
        (Stage::Recipient, "354 go"),
        (Stage::Data, "250 ok"),
        (Stage::Body, "354 send now"),
    ] {
        let (_, mail) = app.reset("ada@example.com").await;
        app.sink.set_fault(Fault::Reply(stage, reply));
        assert_eq!(app.deliver(mail).await, Outcome::Deferred, "{stage:?}");
        let reason = app.row(mail).await.last_error.unwrap_or_default();
        assert!(reason.contains("expected the reply"), "{stage:?}: {reason}");
    }
}

/// R3: a reply in advance is not taken for the reply to the next mail on the same connection, neither without TLS nor inside it.
#[tokio::test]
async fn reply_in_advance_is_not_that_of_the_next_mail() {
    for security in EACH_SECURITY {
        let app = TestApp::with(security, None).await;
        app.user("ada@example.com").await;
        let delivery = app.delivery();
        let (_, first) = app.reset("ada@example.com").await;
        app.sink
            .set_fault(Fault::Reply(Stage::Body, "250 ok\r\n250 extra"));
        assert_eq!(delivery.deliver(first).await.unwrap(), Outcome::Sent);

        let (_, second) = app.reset("ada@example.com").await;
        app.sink
            .set_fault(Fault::Reply(Stage::Body, "554 5.7.1 rejected as spam"));
        assert_eq!(delivery.deliver(second).await.unwrap(), Outcome::Deferred);
    }
}

/// R3: parsing a reply of many short lines takes no time that the timeout cannot end.
#[tokio::test]
async fn reply_of_many_lines_defers() {
    let lines = &*format!("{}250 ok", "250-x\r\n".repeat(201)).leak();
    for security in EACH_SECURITY {
        let app = TestApp::with(security, None).await;
        app.user("ada@example.com").await;
        app.sink.set_fault(Fault::Reply(Stage::Sender, lines));
        let (_, mail) = app.reset("ada@example.com").await;
        assert_eq!(app.deliver(mail).await, Outcome::Deferred);
        let reason = app.row(mail).await.last_error.unwrap_or_default();
        assert!(reason.contains("more than 200 lines"), "{reason}");
    }
}

/// R3: LF alone ends a line, and the failure of an unfinished reply names its stage.
#[tokio::test]
async fn bare_lf_or_unfinished_reply_keeps_its_stage() {
    let mut app = TestApp::new().await;
    app.set("SMTP_TIMEOUT_SECONDS", "1");
    app.user("ada@example.com").await;
    for (reply, outcome, words) in [
        (
            "550-5.1.1 no\n550 5.1.1 such user",
            Outcome::Failed,
            "RCPT TO: ",
        ),
        (
            "550-5.1.1 no such user",
            Outcome::Deferred,
            "RCPT TO: the server did not answer within 1 s",
        ),
    ] {
        let (_, mail) = app.reset("ada@example.com").await;
        app.sink.set_fault(Fault::Reply(Stage::Recipient, reply));
        assert_eq!(app.deliver(mail).await, outcome, "{reply:?}");
        let reason = app.row(mail).await.last_error.unwrap_or_default();
        assert!(reason.contains(words), "{reply:?}: {reason}");
    }
}

/// R3: an attacker in the network cannot add replies in plaintext that count inside TLS (CVE-2011-0411 and its kind).
#[tokio::test]
async fn replies_injected_before_tls_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut command = [0; 512];
        for reply in [
            "220 ready\r\n",
            "250-vm\r\n250 STARTTLS\r\n",
            "220 go\r\n250 evil\r\n250 ok\r\n",
        ] {
            stream.write_all(reply.as_bytes()).await.unwrap();
            let _ = stream.read(&mut command).await;
        }
    });
    let mut app = TestApp::new().await;
    app.set("SMTP_URL", &format!("smtp://127.0.0.1:{port}?tls=required"));
    app.user("ada@example.com").await;
    let (_, mail) = app.reset("ada@example.com").await;
    assert_eq!(app.deliver(mail).await, Outcome::Deferred);
    let reason = app.row(mail).await.last_error.unwrap_or_default();
    assert!(reason.contains("a reply before the command"), "{reason}");
    server.await.unwrap();
}

/// R3: a short password is redacted in the server's text only. In our words, the gaps would reveal it.
#[tokio::test]
async fn short_password_is_redacted_in_replies_only() {
    let app = TestApp::with(Security::Implicit, Some(("ada", "e"))).await;
    app.sink
        .set_fault(Fault::Reply(Stage::Sender, "550 5.1.8 refused"));
    let mail = app.queue_code("eve@example.com").await;

    assert_eq!(app.deliver(mail).await, Outcome::Deferred);

    let error = app.row(mail).await.last_error.unwrap();
    assert_eq!(error, "MAIL FROM: permanent error (550): 5.1.8 r…fus…d");
}
