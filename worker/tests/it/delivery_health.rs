//! R2, R3: `doctor` and metrics report a server that refuses the service, but not the refusal of one recipient.

use latchkey_shared::{clock::Clock, models::mail::MailState};
use latchkey_testing::{Fault, Process, Security, Stage, wait_for};

use crate::test_app::{TestApp, get};

/// A running worker and the URL of its metrics.
struct Running {
    app: TestApp,
    metrics: String,
    _worker: Process,
}

impl Running {
    async fn start(security: Security, credentials: Option<(&str, &str)>) -> Self {
        let mut app = TestApp::with(security, credentials).await;
        app.clock = Clock::system();
        app.set("SMTP_TIMEOUT_SECONDS", "2");
        let (worker, base) = app.process_with_metrics(&[]).await;
        Self {
            app,
            metrics: format!("{base}/metrics"),
            _worker: worker,
        }
    }

    /// Creates an account for each recipient and requests a code for it.
    async fn request_codes(&self, recipients: &[&str]) {
        for recipient in recipients {
            self.app.user(recipient).await;
            let (_, written) = self.app.write_reset(recipient).await;
            self.app.outbox().notify_worker(written).await;
        }
    }

    /// Waits until deliveries of `count` mails have failed.
    async fn wait_for_failures(&self, count: usize) {
        let rows = async || self.app.rows().await;
        wait_for("failed deliveries", rows, |rows| {
            rows.iter().filter(|row| row.failure.is_some()).count() >= count
        })
        .await;
    }

    /// Returns the causes in the metrics, and the exit code and output of `doctor`.
    async fn health(&self) -> (Vec<String>, Option<i32>, String) {
        let (_, text) = get(&self.metrics).await;
        let causes: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("latchkey_mail_delivery_failing{cause=\""))
            .map(|line| line.split_once("\"} ").unwrap())
            .collect();
        assert_eq!(causes.len(), 5, "{text}");
        let failing = causes.into_iter().filter(|(_, value)| *value == "1");
        let failing = failing.map(|(cause, _)| cause.to_owned()).collect();
        let (code, text) = self.app.process(&["doctor"]).output().await;
        assert!(!text.contains('@'), "{text}");
        (failing, code, text)
    }

    async fn assert_healthy(&self) {
        let (causes, code, text) = self.health().await;
        assert_eq!((causes, code), (vec![], Some(0)), "{text}");
    }
}

/// The operator sees the cause and the reply of a server that refuses the connection, the login or the sender. It turns green after
/// the next delivered mail.
#[tokio::test]
async fn service_refusal_turns_doctor_and_metrics_red() {
    let refusals = [
        (Stage::Greeting, "554 5.7.1 go away", "connection"),
        (Stage::Ehlo, "504 5.5.2 bad name", "connection"),
        (Stage::Auth, "535 5.7.8 who are you", "authentication"),
        (Stage::Auth, "354 go ahead", "authentication"),
        (Stage::Auth, "220 ready", "authentication"),
        (Stage::Auth, "334 VXNlcm5hbWU6", "authentication"),
        (Stage::Sender, "550 5.1.8 no such sender", "sender"),
    ];
    for (stage, reply, cause) in refusals {
        let shown = match reply {
            "354 go ahead" => "expected the reply 235, not 354",
            "220 ready" => "expected the reply 235, not 220",
            "334 VXNlcm5hbWU6" => "AUTH: ",
            refusal => &refusal[4..],
        };
        let it = Running::start(Security::StartTls, Some(("ada", "velvet-secret"))).await;
        it.assert_healthy().await;
        it.app.sink.set_fault(Fault::Reply(stage, reply));
        it.request_codes(&["eve@example.com"]).await;
        it.wait_for_failures(1).await;

        let (causes, code, text) = it.health().await;
        let red = (vec![cause.to_owned()], Some(1));
        assert_eq!((causes, code), red, "{text}");
        assert!(text.contains(shown), "{reply}: {text}");

        it.app.sink.set_fault(Fault::None);
        it.app.wait_for(MailState::Sent, 1).await;
        it.assert_healthy().await;
    }
}

/// The refusal of a recipient, with any reply, is no outage: anyone can register with an address that does not exist.
#[tokio::test]
async fn recipient_refusal_leaves_doctor_and_metrics_green() {
    let it = Running::start(Security::Plain, None).await;
    let many_lines = format!("{}550 5.1.1 unknown", "550-5.1.1 x\r\n".repeat(201));
    let replies: [&[u8]; _] = [
        b"550 5.1.1 unknown",
        b"554 5.7.1 refused",
        b"451 4.7.1 greylisted",
        b"421 4.7.0 greylisted",
        // Replies that violate RFC 5321, 4.2, or are not UTF-8, as a relay repeats them.
        b"550 5.1.1 Empf\xe4nger unbekannt",
        b"550",
        b"550\t5.1.1 unknown",
        b"550-unknown\r\n551 x",
        b"550-5.1.1 Empf\xe4nger\r\n550 5.1.1 unbekannt",
        b"699 unknown",
        b"user unknown",
        b"",
        b"550-5.1.1 no\n550 5.1.1 such user",
        b"250 ok\r\n550 5.1.1 unknown",
        many_lines.into_bytes().leak(),
    ];
    // Earlier mails, which are tried again, get the same reply.
    let mut refused = Vec::new();
    for (number, reply) in replies.into_iter().enumerate() {
        let recipient = format!("user{number}@one.example");
        refused.push(recipient.clone());
        let fault = Fault::ReplyToRecipients(refused.clone(), reply);
        it.app.sink.set_fault(fault);
        it.request_codes(&[&recipient]).await;
        it.wait_for_failures(number + 1).await;

        it.assert_healthy().await;
    }
}

/// A server may close the connection or stay silent because of one recipient's domain. In several domains, it is an outage.
#[tokio::test]
async fn closed_or_silent_recipient_counts_like_a_refusal() {
    for fault in [Fault::CloseAtRecipients, Fault::HangAtRecipients] {
        let it = Running::start(Security::Plain, None).await;
        let refused = ["eve@one.example", "eve@two.example"];
        it.app
            .sink
            .set_fault(fault(refused.map(str::to_owned).to_vec()));
        it.request_codes(&refused[..1]).await;
        it.wait_for_failures(1).await;
        it.assert_healthy().await;

        it.request_codes(&refused[1..]).await;
        it.wait_for_failures(2).await;
        let (causes, code, text) = it.health().await;
        let red = (vec!["refusal".to_owned()], Some(1));
        assert_eq!((causes, code), red, "{text}");
    }
}

/// A relay that refuses all other domains is an outage, even if it accepts mails to its own.
#[tokio::test]
async fn refusals_in_several_domains_turn_red_temporarily() {
    let it = Running::start(Security::Plain, None).await;
    let refused = ["ada@one.example", "eve@two.example"];
    it.app.sink.set_fault(Fault::ReplyToRecipients(
        refused.map(str::to_owned).to_vec(),
        b"554 5.7.1 <ada@one.example>: Relay access denied",
    ));
    it.request_codes(&refused).await;
    it.wait_for_failures(2).await;
    // A relay accepts mails to its own domain.
    it.request_codes(&["own@three.example"]).await;
    it.app.wait_for(MailState::Sent, 1).await;

    let (causes, code, text) = it.health().await;
    assert_eq!(
        (causes, code),
        (vec!["refusal".to_owned()], Some(1)),
        "{text}"
    );
    assert!(text.contains("Relay access denied"), "{text}");

    it.app.sink.set_fault(Fault::None);
    it.app.wait_for(MailState::Sent, 3).await;
    it.assert_healthy().await;
}

/// Strangers register with addresses that need SMTPUTF8, or at their own domains, whose replies a relay repeats.
#[tokio::test]
async fn refusals_caused_by_strangers_leave_health_green() {
    let it = Running::start(Security::Plain, None).await;
    it.app.sink.offer_extensions(&["8BITMIME"]);
    it.request_codes(&["\u{e9}@a.example.org", "\u{e9}@b.example.net"])
        .await;
    it.wait_for_failures(2).await;
    it.assert_healthy().await;

    let refused = ["eve@a.example.com", "eve@b.example.com", "eve@example.edu"];
    it.app.sink.set_fault(Fault::ReplyToRecipients(
        refused.map(str::to_owned).to_vec(),
        b"554 5.7.1 refused by the server of the domain",
    ));
    // Subdomains count as one domain.
    it.request_codes(&refused[..2]).await;
    it.wait_for_failures(4).await;
    it.assert_healthy().await;

    it.request_codes(&["ada@one.example", "ada@two.example"])
        .await;
    it.app.wait_for(MailState::Sent, 2).await;
    it.request_codes(&refused[2..]).await;
    it.wait_for_failures(5).await;
    it.assert_healthy().await;
}
