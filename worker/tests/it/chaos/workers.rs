//! Workers that are killed or terminated.

use std::time::Duration;

use latchkey_shared::models::mail::MailState;
use latchkey_testing::Fault;
use tokio::time::sleep;

use super::{Counts, Installation, is_long, scaled};

/// A user may get a mail twice if the worker is killed between sending and recording it. No other mail is repeated, and none is
/// lost.
#[tokio::test]
async fn killed_worker_repeats_only_mails_in_flight() {
    let rounds = scaled(1, 5);
    let mut total = Counts::default();
    for _ in 0..rounds {
        let mut it = Installation::with_users(20).await;
        it.app.set("WORKER_CONCURRENCY", "8");
        it.app.sink.set_fault(Fault::HangAfterData);
        let (api, mut first) = (it.api().await, it.worker().await);
        api.request_codes(0..20).await;
        it.app.sink.wait_until_hanging(8).await;

        first.kill().await;
        // The server has these mails, and no row records it.
        it.app.sink.set_fault(Fault::None);
        it.app.sink.wait_for(8).await;
        let _second = it.worker().await;

        it.wait_until_all_sent(20).await;
        let counts = it.counts().await;
        counts.assert_none_lost(20);
        assert!(counts.duplicates <= 8, "{} came again", counts.duplicates);
        total = total.plus(&counts);
    }
    total.print(&format!(
        "worker killed with 8 of 20 mails in flight, {rounds} times"
    ));
}

/// Three workers are killed one after the other under load. The others take over the claims when they expire.
#[tokio::test]
async fn workers_killed_in_turn_lose_no_mail() {
    let (mails, concurrency) = (scaled(120, 2_000), 4);
    let mut it = Installation::with_users(mails).await;
    it.app.set("WORKER_CONCURRENCY", "4");
    it.app
        .sink
        .set_fault(Fault::DelayReply(Duration::from_millis(100)));
    let mut workers = it.workers(3).await;
    let api = it.api().await;

    let asking = async { api.request_codes(0..mails).await };
    let killing = async {
        let mut deaths = 0;
        while it.app.count(MailState::Sent).await < mails - 20 {
            if is_long() {
                sleep(Duration::from_secs(1)).await;
            } else {
                it.app.sink.wait_for((deaths + 1) * 16).await;
            }
            workers[deaths % 3].kill().await;
            workers[deaths % 3] = it.app.process(&[]);
            deaths += 1;
            if !is_long() && deaths == 6 {
                break;
            }
        }
        deaths
    };
    let ((), deaths) = tokio::join!(asking, killing);

    it.wait_until_all_sent(mails).await;
    assert_eq!(it.app.count(MailState::Queued).await, 0);
    let counts = it
        .report(&format!("one of three workers killed, {deaths} times"))
        .await;
    counts.assert_none_lost(mails);
    assert!(deaths > 3, "{deaths}");
    // A killed worker may repeat mails that were being sent, or were sent and not recorded.
    let repeated = counts.duplicates;
    assert!(
        repeated <= deaths * concurrency * 2,
        "{repeated} came again"
    );
}

/// A worker that gets SIGTERM releases the mails that it has not begun. Another worker sends them, and no mail arrives twice.
#[tokio::test]
async fn terminated_worker_finishes_only_mails_in_flight() {
    let mails = scaled(24, 200);
    let mut it = Installation::with_users(mails).await;
    it.app.set("WORKER_CONCURRENCY", "4");
    it.app
        .sink
        .set_fault(Fault::DelayReply(Duration::from_millis(100)));
    let (api, worker) = (it.api().await, it.worker().await);
    api.request_codes(0..mails).await;
    it.app.sink.wait_for(6).await;

    worker.terminate().await;
    let (code, log) = worker.output().await;

    assert_eq!(code, Some(0), "{log}");
    let sent = it.app.count(MailState::Sent).await;
    assert_eq!(sent, it.app.sink.mails().len(), "{log}");
    assert_eq!(it.app.count(MailState::Queued).await, mails - sent);
    assert!(sent < mails, "it ended before the end");
    let claims = it.app.rows().await;
    assert!(
        claims
            .iter()
            .all(|it| it.state == MailState::Sent || it.claimed_by.is_none())
    );
    let _next = it.worker().await;
    it.wait_until_all_sent(mails).await;
    it.app.wait_until_settled().await;
    let counts = it
        .report("SIGTERM in the middle, then another worker")
        .await;
    counts.assert_none_lost(mails);
    assert_eq!(counts.duplicates, 0);
}
