//! An SMTP server that is down, refuses, hangs, or drops connections.

use std::time::Duration;

use latchkey_shared::models::mail::MailState;
use latchkey_testing::Fault;
use tokio::time::sleep;

use super::{Installation, addresses, scaled, user};

#[tokio::test]
async fn smtp_outage_mails_are_delivered_after_recovery() {
    let it = Installation::with_users(20).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    it.app.sink.stop();
    api.request_codes(0..20).await;
    it.wait_until_all_attempted().await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(10))).await;

    it.app.sink.restart();

    it.wait_until_all_sent(20).await;
    it.app.wait_until_settled().await;
    let counts = it.report("SMTP down at the request").await;
    counts.assert_none_lost(20);
    assert_eq!(counts.duplicates, 0);
}

/// The pause before an attempt is at least half of the doubled back-off. A slow machine may add to it.
#[tokio::test]
async fn temporary_refusals_are_retried_with_growing_pauses() {
    let (mails, refusals) = (scaled(6, 40), scaled(2, 4));
    let it = Installation::with_users(mails).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    let fault = Fault::RefuseFirstOfEach(refusals, 451);
    it.app.sink.set_fault(fault);

    api.request_codes(0..mails).await;

    it.wait_until_all_sent(mails).await;
    let counts = it.report("451 at the first attempts of each mail").await;
    counts.assert_none_lost(mails);
    let tries = it.app.sink.attempts();
    assert_eq!(tries.len(), mails);
    for (recipient, tries) in tries {
        assert_eq!(tries.len(), refusals + 1, "{recipient}");
        for (number, pair) in tries.windows(2).enumerate() {
            let pause = (pair[1] - pair[0]).num_milliseconds();
            assert!(pause >= 500 << number, "{recipient}: {tries:?}");
        }
    }
}

/// The row stores the reply of the server, and the worker does not try again.
#[tokio::test]
async fn permanently_refused_recipient_fails_only_its_mail() {
    let mails = scaled(10, 100);
    let it = Installation::with_users(mails).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    it.app
        .sink
        .set_fault(Fault::RefuseRecipients(vec![user(3)], 550));

    api.request_codes(0..mails).await;

    it.wait_until_all_sent(mails - 1).await;
    it.app.wait_for(MailState::Failed, 1).await;
    let counts = it.report("550 for one recipient").await;
    assert_eq!((counts.delivered, counts.ended), (mails - 1, 1));
    let failed = it.app.rows().await;
    let failed = failed.iter().find(|row| row.recipient == user(3)).unwrap();
    assert_eq!((failed.state, failed.attempts), (MailState::Failed, 1));
    let words = failed.last_error.clone().unwrap();
    assert!(
        words.contains("550") && words.contains("user unknown"),
        "{words}"
    );
    assert_eq!(it.app.sink.attempts()[&user(3)].len(), 1);
}

/// All slots wait for replies that never come. They are free again after `SMTP_TIMEOUT_SECONDS`.
#[tokio::test]
async fn unanswered_mails_do_not_block_others() {
    let mails = scaled(20, 200);
    let mut it = Installation::with_users(mails).await;
    it.app.set("WORKER_CONCURRENCY", "4");
    it.app.set("SMTP_TIMEOUT_SECONDS", "2");
    let (api, _worker) = (it.api().await, it.worker().await);
    let hanging = vec![user(0), user(1), user(2), user(3)];
    it.app.sink.set_fault(Fault::HangAtRecipients(hanging));

    // All slots hang before the other mails are queued.
    api.request_codes(0..4).await;
    it.app.sink.wait_until_hanging(4).await;
    api.request_codes(4..mails).await;

    it.wait_until_all_sent(mails - 4).await;
    assert_eq!(it.app.count(MailState::Queued).await, 4);
    it.app.sink.set_fault(Fault::None);
    it.wait_until_all_sent(mails).await;
    it.report("SMTP accepts and never answers")
        .await
        .assert_none_lost(mails);
}

/// A mail is sent again after a connection was lost in the middle of it, or before the reply to it.
#[tokio::test]
async fn dropped_connections_lose_no_mail() {
    let mails = scaled(10, 60);
    let it = Installation::with_users(mails).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    it.app.sink.set_fault(Fault::DropInData);
    api.request_codes(0..mails).await;
    it.wait_until_all_attempted().await;
    assert!(it.app.sink.mails().is_empty());

    let repeated = mails / 2;
    it.app.sink.set_fault(Fault::DropAfterAccept(repeated));

    it.wait_until_all_sent(mails).await;
    it.app.wait_until_settled().await;
    let counts = it
        .report("connection dropped in DATA, then after accepting")
        .await;
    counts.assert_none_lost(mails);
    // A mail that the server accepted without a reply must be sent again.
    assert_eq!(counts.duplicates, repeated);
    assert_eq!(addresses(&it.app.sink.mails()).len(), mails);
}
