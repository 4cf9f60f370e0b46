//! An SMTP server that is down, refuses, hangs, is slow, or drops what it was given.

use std::time::Duration;

use latchkey_shared::models::mail::MailState;
use latchkey_testing::Fault;
use tokio::time::sleep;

use super::{Installation, addresses, scaled, user};

#[tokio::test]
async fn a_server_that_was_down_gets_every_mail_when_it_is_back() {
    let it = Installation::with_users(20).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    it.world.sink.stop();
    api.ask_for_all(0..20).await;
    it.all_tried().await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(10))).await;

    it.world.sink.restart();

    it.all_sent(20).await;
    let counts = it.report("SMTP down when asked").await;
    counts.all_arrived(20);
    assert_eq!(counts.duplicates, 0);
}

/// The wait before a try is at least half of what the back-off doubles to; what a machine adds to it is its own affair.
#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_with_growing_pauses() {
    let (mails, refusals) = (scaled(6, 40), scaled(2, 4));
    let it = Installation::with_users(mails).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    let fault = Fault::ReplyFirstOfEach(refusals, 451);
    it.world.sink.set_fault(fault);

    api.ask_for_all(0..mails).await;

    it.all_sent(mails).await;
    let counts = it.report("451 for the first tries of each").await;
    counts.all_arrived(mails);
    let tries = it.world.sink.tries();
    assert_eq!(tries.len(), mails);
    for (recipient, tries) in tries {
        assert_eq!(tries.len(), refusals + 1, "{recipient}");
        for (number, pair) in tries.windows(2).enumerate() {
            let pause = (pair[1] - pair[0]).num_milliseconds();
            assert!(pause >= 500 << number, "{recipient}: {tries:?}");
        }
    }
}

#[tokio::test]
async fn a_recipient_that_is_refused_for_good_fails_alone() {
    let mails = scaled(10, 100);
    let it = Installation::with_users(mails).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    it.world.sink.set_fault(Fault::ReplyTo(vec![user(3)], 550));

    api.ask_for_all(0..mails).await;

    it.all_sent(mails - 1).await;
    it.world.wait_for(MailState::Failed, 1).await;
    let counts = it.report("550 for one recipient").await;
    assert_eq!((counts.delivered, counts.ended), (mails - 1, 1));
    let failed = it.world.rows().await;
    let failed = failed.iter().find(|row| row.recipient == user(3)).unwrap();
    assert_eq!((failed.state, failed.attempts), (MailState::Failed, 1));
    let words = failed.last_error.clone().unwrap();
    assert!(
        words.contains("550") && words.contains("the sink refuses"),
        "{words}"
    );
    assert_eq!(it.world.sink.tries()[&user(3)].len(), 1);
}

#[tokio::test]
async fn a_server_that_never_answers_some_mails_does_not_hold_up_the_others() {
    let mails = scaled(20, 200);
    let mut it = Installation::with_users(mails).await;
    it.world.set("WORKER_CONCURRENCY", "4");
    it.world.set("SMTP_TIMEOUT_SECONDS", "2");
    let (api, _worker) = (it.api().await, it.worker().await);
    let hanging = vec![user(0), user(1), user(2), user(3)];
    it.world.sink.set_fault(Fault::HangAt(hanging));

    // All slots hang before the others come.
    api.ask_for_all(0..4).await;
    it.world.sink.wait_until_stuck(4).await;
    api.ask_for_all(4..mails).await;

    it.all_sent(mails - 4).await;
    assert_eq!(it.world.count(MailState::Queued).await, 4);
    it.world.sink.set_fault(Fault::None);
    it.all_sent(mails).await;
    it.report("SMTP accepts and never answers")
        .await
        .all_arrived(mails);
}

#[tokio::test]
async fn a_server_that_drops_connections_gets_every_mail() {
    let mails = scaled(10, 60);
    let it = Installation::with_users(mails).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    it.world.sink.set_fault(Fault::DropInData);
    api.ask_for_all(0..mails).await;
    it.all_tried().await;
    assert!(it.world.sink.mails().is_empty());

    let repeated = mails / 2;
    it.world.sink.set_fault(Fault::DropAfterAccept(repeated));

    it.all_sent(mails).await;
    let counts = it
        .report("connection dropped in DATA, then after accepting")
        .await;
    counts.all_arrived(mails);
    // What the server has accepted without saying so can only be sent again.
    assert_eq!(counts.duplicates, repeated);
    assert_eq!(addresses(&it.world.sink.mails()).len(), mails);
}
