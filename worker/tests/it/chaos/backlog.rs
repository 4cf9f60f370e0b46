//! A large backlog: the CPU time of each mail, and what Redis stores.

use latchkey_shared::{
    database,
    models::mail::{self, MailKind},
};
use latchkey_testing::Process;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::{Api, Installation, scaled};

/// The backlog that a larger one is compared with.
const FEW: usize = 200;

/// The CPU time of one mail in the worker, in hundredths of a second.
#[derive(Clone, Copy, Debug)]
struct Cost {
    enqueue: f64,
    delivery: f64,
}

/// Measures CPU time, which depends less than duration on other programs. Shared CPU caches still change it by half, so in
/// parallel to other tests the bound only detects a cost that grows with the backlog, which is thirty times as large here. The
/// long form runs alone and uses the bound of the requirement.
#[tokio::test]
async fn backlog_adds_no_cost_per_mail_or_keys() {
    let many = scaled(6_000, 200_000);
    let it = Installation::with_users(1).await;
    it.app.sink.discard_contents();
    let api = it.api().await;
    // The first round loads scripts and fills caches.
    round(&it, &api, FEW).await;
    let base = memory(&it).await;
    let mut few = Vec::new();
    for _ in 0..5 {
        few.push(round(&it, &api, FEW).await);
    }

    let long = round(&it, &api, many).await;

    let after = memory(&it).await;
    let counts = it.report(&format!("backlog of {many} mails")).await;
    counts.assert_none_lost(6 * FEW + many);
    let mean = |of: fn(&Cost) -> f64| few.iter().map(of).sum::<f64>() / 5.0;
    let enqueue = long.enqueue / mean(|cost| cost.enqueue);
    let delivery = long.delivery / mean(|cost| cost.delivery);
    println!(
        "Of what a mail costs while {FEW} wait, one costs {enqueue:.2} to enqueue and {delivery:.2} to deliver while \
         {many} wait. Redis: {base} bytes before, {after} after."
    );
    let most = scaled(4.0, 1.5);
    assert!(enqueue <= most && delivery <= most, "{few:?} {long:?}");
    let grown = after.saturating_sub(base);
    assert!(grown < 250_000, "Redis keeps {grown} bytes of {many} mails");
}

/// Queues `waiting` notices and some codes behind them, and lets a worker deliver the notices.
async fn round(it: &Installation, api: &Api, waiting: usize) -> Cost {
    write_notices(it, waiting).await;
    let before = api.process.cpu_time();
    for _ in 0..FEW {
        assert_eq!(api.request_code("user0@example.com").await, 201);
    }
    let enqueue = api.process.cpu_time() - before;
    // Codes of delivered mails would stay in Redis until they expire.
    mail::Entity::delete_many()
        .filter(mail::Column::Kind.eq(MailKind::ResetCode.as_str()))
        .exec(&it.app.database.db)
        .await
        .unwrap();

    let sent = it.app.sink.mails().len();
    let mut worker = it.worker().await;
    let before = worker.cpu_time();
    it.wait_until_all_sent(sent + waiting).await;
    let delivery = worker.cpu_time() - before;
    end(&mut worker).await;
    Cost {
        enqueue: per_mail(enqueue, FEW),
        delivery: per_mail(delivery, waiting),
    }
}

async fn end(worker: &mut Process) {
    worker.terminate().await;
    assert_eq!(worker.exit().await.code(), Some(0));
}

#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn per_mail(ticks: u64, mails: usize) -> f64 {
    ticks as f64 / mails as f64
}

async fn write_notices(it: &Installation, count: usize) {
    let db = &it.app.database.db;
    let owner = latchkey_shared::models::user::find(db, 1)
        .await
        .unwrap()
        .unwrap();
    let outbox = it.app.outbox();
    let mut left = count;
    while left > 0 {
        let step = database::begin(db).await.unwrap();
        for _ in 0..left.min(1_000) {
            let now = it.app.clock.now();
            let _left_to_the_relay = outbox
                .insert_notice(&step, MailKind::Activated, &owner, "request-1", now)
                .await
                .unwrap();
        }
        step.commit().await.unwrap();
        left = left.saturating_sub(1_000);
    }
}

/// The memory that Redis uses with an empty queue, in bytes. Excludes the buffers of its clients, which depend on the last
/// command and shrink when a client is idle.
async fn memory(it: &Installation) -> u64 {
    let queue = &it.app.connections.queue;
    while queue.sweep().await.unwrap() > 0 {}
    let account: String = ::redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut it.app.redis.connection())
        .await
        .unwrap();
    let used = account
        .lines()
        .find_map(|line| line.strip_prefix("used_memory_dataset:"));
    used.unwrap().trim().parse().unwrap()
}
