//! Consumes the queue with apalis, and starts a delivery for each wake-up.
//!
//! Works around these properties of apalis-redis 1.0.0:
//!
//! - It polls every 30 seconds by default. `POLL_INTERVAL` is shorter.
//! - An error of Redis ends its worker and cancels running jobs. Deliveries therefore run as separate tasks, and [`run`] starts
//!   a new worker. It has a new name, as the old one stays registered for a while.
//! - It has no priorities. Each priority has its own queue and worker, and [`DeliverySlots`] reserves slots for codes.
//! - It fetches jobs without limit. The concurrency layer allows as many as there are slots.
//! - A payload that cannot be decoded stops it. Payloads are therefore JSON values, and invalid ones are logged and dropped.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{BackendExt as _, Data, Monitor, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use latchkey_shared::{
    database, dependency::FailureReports, models::mail::Priority, queue::Queue, redis::fault,
};
use lettre::transport::smtp::extension::ClientId;
use sea_orm::DbErr;
use serde_json::Value;
use tokio::time::{self, Interval, MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    database_health::DatabaseHealth,
    delivery::{
        Delivery,
        slots::{DeliverySlotPool, SlotPermit},
    },
};

/// The interval between two polls of the queue.
const POLL_INTERVAL: Duration = Duration::from_millis(15);
/// The timeout for apalis to return fetched jobs at shutdown.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// The delay before a restart of the apalis worker.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Starts deliveries as separate tasks, and limits how many are in flight.
#[derive(Clone)]
pub struct DeliverySlots {
    delivery: Delivery,
    pool: DeliverySlotPool,
    /// No delivery starts during an outage of the database.
    pub health: DatabaseHealth,
    /// The deliveries in flight.
    pub in_flight: TaskTracker,
    /// No delivery starts after this is cancelled.
    pub stop: CancellationToken,
}

impl DeliverySlots {
    /// Creates as many slots as the delivery may have mails in flight.
    #[must_use]
    pub fn new(delivery: Delivery, health: DatabaseHealth, stop: CancellationToken) -> Self {
        Self {
            pool: DeliverySlotPool::new(delivery.prefetch()),
            delivery,
            health,
            in_flight: TaskTracker::new(),
            stop,
        }
    }

    /// Returns the reports of failures of Redis, whose health check logs an outage once.
    #[must_use]
    pub fn redis_failures(&self) -> &FailureReports {
        self.delivery.redis_failures()
    }

    /// Returns the number of slots that are free for mails of a priority.
    #[must_use]
    pub fn free(&self, priority: Priority) -> usize {
        self.pool.free(priority)
    }

    /// Waits for a free slot and a working database, and starts a delivery, which continues if the caller is cancelled. Does
    /// nothing after the stop: the mail stays queued in its row.
    pub async fn start(&self, mail: Uuid, priority: Priority) {
        let slot = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            slot = self.acquire(priority) => slot,
        };
        let (delivery, health) = (self.delivery.clone(), self.health.clone());
        self.in_flight.spawn(async move {
            // Released when this task ends, also by a panic.
            let _slot = slot;
            if let Err(error) = delivery.deliver(mail).await {
                log(mail, &error, &health);
            }
        });
    }

    async fn acquire(&self, priority: Priority) -> SlotPermit {
        let slot = self.pool.acquire(priority).await;
        self.health.wait_until_available().await;
        slot
    }
}

/// Logs a delivery that the database interrupted. The health check logs an outage, once for all mails.
fn log(mail: Uuid, error: &DbErr, health: &DatabaseHealth) {
    let text = database::describe(error);
    if health.report(error) {
        tracing::debug!(mail.id = %mail, error = text, "Delivery postponed: database error");
    } else {
        tracing::error!(mail.id = %mail, error = text, "Delivery postponed: database error");
    }
}

/// Consumes the wake-ups of one priority until the stop.
pub async fn run(queue: Queue, priority: Priority, slots: DeliverySlots) {
    loop {
        let name = format!("{}-{}", ClientId::default(), Uuid::now_v7());
        if let Err(error) = queue.register_worker(&name, priority).await {
            tracing::debug!(%error, "Queue worker not registered");
        }
        let monitor = monitor(name, &queue, priority, &slots);
        let context = monitor.context();
        let running = monitor.run();
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => {
                // apalis' errors have several lines.
                let error = ended.map_or_else(|error| error.to_string(), |()| String::new());
                let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
                let error = fault::from_text(&error);
                tracing::debug!(%error, "Queue worker stopped; it restarts when Redis accepts writes");
                slots.redis_failures().report(error);
            }
            () = slots.stop.cancelled() => {
                let _ = context.shutdown();
                // The relay finds jobs that were not returned in time.
                let _ = time::timeout(QUIT_TIMEOUT, running).await;
                return;
            }
        }
        tokio::select! {
            () = slots.stop.cancelled() => return,
            () = until_redis_works(&queue) => tracing::debug!("Queue worker restarts"),
        }
    }
}

fn monitor(name: String, queue: &Queue, priority: Priority, slots: &DeliverySlots) -> Monitor {
    let (queue, slots) = (queue.clone(), slots.clone());
    Monitor::new().register(move |_| {
        WorkerBuilder::new(name.as_str())
            .backend(
                queue
                    .storage(priority)
                    .poll_with_strategy(FixedInterval::new()),
            )
            .concurrency(slots.delivery.prefetch())
            .data(slots.clone())
            .data(priority)
            .build(wake)
    })
}

/// Handles one job. It always succeeds, as the mail's row decides about retries, not the queue.
async fn wake(payload: Value, slots: Data<DeliverySlots>, priority: Data<Priority>) {
    if let Some(mail) = Queue::mail_of(&payload) {
        slots.start(mail, *priority).await;
    } else {
        tracing::warn!("Dropped a job that is not a mail id");
    }
}

/// Waits until Redis accepts writes, which apalis needs even to fetch jobs.
async fn until_redis_works(queue: &Queue) {
    loop {
        time::sleep(RESTART_DELAY).await;
        if queue.check_write().await.is_ok() {
            return;
        }
    }
}

/// Polls at a fixed interval.
struct FixedInterval(Interval);

impl FixedInterval {
    fn new() -> Self {
        let mut interval = time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(interval)
    }
}

impl PollStrategy for FixedInterval {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        // Only a pending interval has registered the waker.
        let mut poll = Poll::Pending;
        while self.0.poll_tick(cx).is_ready() {
            poll = Poll::Ready(Some(()));
        }
        poll
    }
}
