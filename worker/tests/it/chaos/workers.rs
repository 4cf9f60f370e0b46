//! Workers that are killed, and that are told to end.

use std::time::Duration;

use latchkey_shared::models::mail::MailState;
use latchkey_testing::Fault;
use tokio::time::sleep;

use super::{Counts, Installation, is_long, scaled};

#[tokio::test]
async fn a_worker_killed_with_mails_in_flight_loses_none_and_repeats_only_those() {
    let rounds = scaled(1, 5);
    let mut total = Counts::default();
    for _ in 0..rounds {
        let mut it = Installation::with_users(20).await;
        it.world.set("WORKER_CONCURRENCY", "8");
        it.world.sink.set_fault(Fault::Hold);
        let (api, mut first) = (it.api().await, it.worker().await);
        api.ask_for_all(0..20).await;
        it.world.sink.wait_until_stuck(8).await;

        first.kill().await;
        // The server has these mails; nobody has noted it.
        it.world.sink.set_fault(Fault::None);
        it.world.sink.wait_for(8).await;
        let _second = it.worker().await;

        it.all_sent(20).await;
        let counts = it.counts().await;
        counts.all_arrived(20);
        assert!(counts.duplicates <= 8, "{} came again", counts.duplicates);
        total = total.and(&counts);
    }
    total.print(&format!(
        "worker killed with 8 of 20 mails in flight, {rounds} times"
    ));
}

#[tokio::test]
async fn workers_that_die_one_after_another_lose_no_mail_between_them() {
    let (mails, concurrency) = (scaled(120, 2_000), 4);
    let mut it = Installation::with_users(mails).await;
    it.world.set("WORKER_CONCURRENCY", "4");
    it.world
        .sink
        .set_fault(Fault::Slow(Duration::from_millis(100)));
    let mut workers = it.workers(3).await;
    let api = it.api().await;

    let asking = async { api.ask_for_all(0..mails).await };
    let killing = async {
        let mut deaths = 0;
        while it.world.count(MailState::Sent).await < mails - 20 {
            if is_long() {
                sleep(Duration::from_secs(1)).await;
            } else {
                it.world.sink.wait_for((deaths + 1) * 16).await;
            }
            workers[deaths % 3].kill().await;
            workers[deaths % 3] = it.world.process(&[]);
            deaths += 1;
            if !is_long() && deaths == 6 {
                break;
            }
        }
        deaths
    };
    let ((), deaths) = tokio::join!(asking, killing);

    it.all_sent(mails).await;
    assert_eq!(it.world.count(MailState::Queued).await, 0);
    let counts = it
        .report(&format!("one of three workers killed, {deaths} times"))
        .await;
    counts.all_arrived(mails);
    assert!(deaths > 3, "{deaths}");
    // Each death may repeat what was just then handed over, or had been and was not noted yet.
    let repeated = counts.duplicates;
    assert!(
        repeated <= deaths * concurrency * 2,
        "{repeated} came again"
    );
}

#[tokio::test]
async fn a_worker_told_to_end_finishes_what_is_on_its_way_and_leaves_the_rest() {
    let mails = scaled(24, 200);
    let mut it = Installation::with_users(mails).await;
    it.world.set("WORKER_CONCURRENCY", "4");
    it.world
        .sink
        .set_fault(Fault::Slow(Duration::from_millis(100)));
    let (api, worker) = (it.api().await, it.worker().await);
    api.ask_for_all(0..mails).await;
    it.world.sink.wait_for(6).await;

    worker.terminate().await;
    let (code, log) = worker.output().await;

    assert_eq!(code, Some(0), "{log}");
    let sent = it.world.count(MailState::Sent).await;
    assert_eq!(sent, it.world.sink.mails().len(), "{log}");
    assert_eq!(it.world.count(MailState::Queued).await, mails - sent);
    assert!(sent < mails, "it ended before the end");
    let claims = it.world.rows().await;
    assert!(
        claims
            .iter()
            .all(|it| it.state == MailState::Sent || it.claimed_by.is_none())
    );
    let _next = it.worker().await;
    it.all_sent(mails).await;
    let counts = it
        .report("SIGTERM in the middle, then another worker")
        .await;
    counts.all_arrived(mails);
    assert_eq!(counts.duplicates, 0);
}
