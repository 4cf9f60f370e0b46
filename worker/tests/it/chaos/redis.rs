//! A Redis that is killed, emptied, hangs and restarts.
//!
//! What is chosen for a request while Redis does not answer: nothing is limited then, so nothing is accepted that has to
//! be limited (503), and nothing of it is left behind.

use std::time::Duration;

use tokio::time::sleep;

use super::{Installation, addresses, scaled, user};

#[tokio::test]
async fn mails_that_wait_while_redis_is_killed_and_emptied_are_delivered() {
    let mails = scaled(10, 100);
    let mut it = Installation::with_users(mails).await;
    let api = it.api().await;
    it.world.sink.stop();
    let _worker = it.worker().await;
    api.ask_for_all(0..mails).await;

    it.redis.kill().await;
    it.redis.restart().await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(5))).await;
    it.world.sink.restart();

    it.all_sent(mails).await;
    it.report("Redis killed and emptied while mails wait")
        .await
        .all_arrived(mails);
}

#[tokio::test]
async fn a_request_while_redis_is_down_is_refused_at_once_and_leaves_nothing_behind() {
    let mut it = Installation::with_users(10).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    api.ask_for_all(0..5).await;

    it.redis.kill().await;
    for _ in 0..scaled(2, 10) {
        assert_eq!(api.ask_for("refused@example.com").await, 503);
    }
    it.redis.restart().await;

    for number in 5..10 {
        api.ask_until_accepted(&user(number)).await;
    }
    it.all_sent(10).await;
    it.report("Redis down at the request").await.all_arrived(10);
    assert!(!addresses(&it.world.sink.mails()).contains("refused@example.com"));
}

#[tokio::test]
async fn a_redis_that_hangs_delays_mails_and_no_request_beyond_its_time_out() {
    let mails = scaled(6, 30);
    let it = Installation::with_users(mails).await;
    let (api, mut worker) = (it.api().await, it.worker().await);
    api.ask_for_all(0..mails / 3).await;

    it.redis.hang().await;
    // Written past the API, as by one that got that far.
    for number in mails / 3..mails * 2 / 3 {
        it.world.reset(&user(number)).await;
    }
    assert_eq!(api.ask_for("refused@example.com").await, 503);
    worker.wait_for_line("Relay failed").await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(20))).await;
    assert_eq!(api.ask_for("refused@example.com").await, 503);
    it.redis.go_on().await;

    for number in mails * 2 / 3..mails {
        api.ask_until_accepted(&user(number)).await;
    }
    // A request that was given up may have got through to a Redis that went on: it is answered and not lost.
    it.all_sent(mails).await;
    let counts = it.report("Redis hangs").await;
    counts.all_arrived(mails);
    worker.terminate().await;
    assert_eq!(worker.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_redis_that_restarts_under_an_idle_worker_costs_nothing() {
    let mails = scaled(6, 30);
    let mut it = Installation::with_users(mails).await;
    let (api, worker) = (it.api().await, it.worker().await);
    for round in 0..3 {
        it.redis.kill().await;
        it.redis.restart().await;
        sleep(scaled(Duration::ZERO, Duration::from_secs(2))).await;
        for number in round * mails / 3..(round + 1) * mails / 3 {
            api.ask_until_accepted(&user(number)).await;
        }
        it.all_sent((round + 1) * mails / 3).await;
    }
    it.report("Redis restarted under an idle worker, 3 times")
        .await
        .all_arrived(mails);
    worker.terminate().await;
    let (code, log) = worker.output().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        log.matches("Relay failed").count(),
        log.matches("Relay recovered").count(),
        "{log}"
    );
}
