//! A Redis that is killed, emptied, hangs or restarts.
//!
//! Without Redis the API cannot apply rate limits. It then answers rate-limited requests with 503 and stores nothing.

use std::time::Duration;

use tokio::time::sleep;

use super::{Installation, addresses, scaled, user};

/// Redis loses the queue. The relay finds the mails in the database and pushes them again.
#[tokio::test]
async fn redis_killed_and_emptied_queued_mails_are_delivered() {
    let mails = scaled(10, 100);
    let mut it = Installation::with_users(mails).await;
    let api = it.api().await;
    it.app.sink.stop();
    let _worker = it.worker().await;
    api.request_codes(0..mails).await;

    it.redis.kill().await;
    it.redis.restart().await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(5))).await;
    it.app.sink.restart();

    it.wait_until_all_sent(mails).await;
    it.report("Redis killed and emptied while mails wait")
        .await
        .assert_none_lost(mails);
}

/// A request that returns 503 during an outage of Redis sends no mail later. Requests after the outage are delivered.
#[tokio::test]
async fn reset_request_without_redis_fails_without_trace() {
    let mut it = Installation::with_users(10).await;
    let (api, _worker) = (it.api().await, it.worker().await);
    api.request_codes(0..5).await;

    it.redis.kill().await;
    for _ in 0..scaled(2, 10) {
        assert_eq!(api.request_code("refused@example.com").await, 503);
    }
    it.redis.restart().await;

    for number in 5..10 {
        api.request_code_until_accepted(&user(number)).await;
    }
    it.wait_until_all_sent(10).await;
    it.report("Redis down at the request")
        .await
        .assert_none_lost(10);
    assert!(!addresses(&it.app.sink.mails()).contains("refused@example.com"));
}

/// A request returns 503 after the command timeout. Mails that were stored before or during the outage arrive after it.
#[tokio::test]
async fn hanging_redis_delays_requests_until_timeout_only() {
    let mails = scaled(6, 30);
    let it = Installation::with_users(mails).await;
    let (api, mut worker) = (it.api().await, it.worker().await);
    api.request_codes(0..mails / 3).await;

    it.redis.pause().await;
    // Stored directly, as if the API had failed after the commit.
    for number in mails / 3..mails * 2 / 3 {
        it.app.reset(&user(number)).await;
    }
    assert_eq!(api.request_code("refused@example.com").await, 503);
    worker.wait_for_line("Dependency failed").await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(20))).await;
    assert_eq!(api.request_code("refused@example.com").await, 503);
    it.redis.resume().await;

    for number in mails * 2 / 3..mails {
        api.request_code_until_accepted(&user(number)).await;
    }
    // A request that timed out may have reached Redis. Its mail is delivered, too.
    it.wait_until_all_sent(mails).await;
    let counts = it.report("Redis hangs").await;
    counts.assert_none_lost(mails);
    worker.terminate().await;
    assert_eq!(worker.exit().await.code(), Some(0));
}

/// The worker reconnects after each restart and delivers the next codes. The log pairs each outage with its end.
#[tokio::test]
async fn redis_restart_under_idle_worker_loses_no_mail() {
    let mails = scaled(6, 30);
    let mut it = Installation::with_users(mails).await;
    let (api, worker) = (it.api().await, it.worker().await);
    for round in 0..3 {
        it.redis.kill().await;
        it.redis.restart().await;
        sleep(scaled(Duration::ZERO, Duration::from_secs(2))).await;
        for number in round * mails / 3..(round + 1) * mails / 3 {
            api.request_code_until_accepted(&user(number)).await;
        }
        it.wait_until_all_sent((round + 1) * mails / 3).await;
    }
    it.report("Redis restarted under an idle worker, 3 times")
        .await
        .assert_none_lost(mails);
    worker.terminate().await;
    let (code, log) = worker.output().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        log.matches("Dependency failed").count(),
        log.matches("Dependency works again").count(),
        "{log}"
    );
}
