//! The half of apalis that reads: it turns the queue's wake-ups into deliveries.
//!
//! Covered here, for apalis-redis 1.0.0:
//!
//! - its own pace sees a wake-up after half a minute: here it is looked at every 15 ms;
//! - any error of Redis ends the worker and drops what it was running: deliveries run as tasks of their own, and [`run`]
//!   starts a new worker, under a new name, as an old one is refused for a while;
//! - it has no priorities: each queue has a worker of its own here, and [`DeliverySlots`] keeps some free for codes;
//! - it takes jobs without bound: the concurrency layer lets no more wait here than can be worked on at once;
//! - a payload that doesn't decode stops it: payloads are plain values, and what is no mail's id is logged and done with.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{BackendExt as _, Data, Monitor, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use latchkey_shared::{database, models::mail::Priority, queue::Queue, redis::fault};
use lettre::transport::smtp::extension::ClientId;
use serde_json::Value;
use tokio::time::{self, Interval, MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::delivery::{Delivery, slots::DeliverySlotPool};

/// How often the queue is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(15);
/// How long apalis may take to hand back what it holds.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a worker is started anew.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Deliveries in hand, so many at once.
#[derive(Clone)]
pub struct DeliverySlots {
    delivery: Delivery,
    places: DeliverySlotPool,
    /// The deliveries on their way.
    pub running: TaskTracker,
    /// Nothing begins after this.
    pub stop: CancellationToken,
}

impl DeliverySlots {
    /// As many free slots as the delivery wants mails in hand.
    #[must_use]
    pub fn new(delivery: Delivery, stop: CancellationToken) -> Self {
        Self {
            places: DeliverySlotPool::new(delivery.prefetch()),
            delivery,
            running: TaskTracker::new(),
            stop,
        }
    }

    /// How many slots are free for mails of a priority at the moment.
    #[must_use]
    pub fn free(&self, priority: Priority) -> usize {
        self.places.free(priority)
    }

    /// Waits for a free slot and begins a delivery in it; it goes on whatever becomes of the caller. After the stop
    /// nothing begins: the mail stays queued in its row.
    pub async fn begin(&self, mail: Uuid, priority: Priority) {
        let slot = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            slot = self.places.acquire(priority) => slot,
        };
        let delivery = self.delivery.clone();
        self.running.spawn(async move {
            // Given back when this task ends, also by a panic.
            let _slot = slot;
            if let Err(error) = delivery.deliver(mail).await {
                let error = database::describe(&error);
                tracing::error!(mail.id = %mail, error, "A mail waits: the database failed.");
            }
        });
    }
}

/// Hears the wake-ups of one priority until it is stopped.
pub async fn run(queue: Queue, priority: Priority, slots: DeliverySlots) {
    loop {
        let name = format!("{}-{}", ClientId::default(), Uuid::now_v7());
        if let Err(error) = queue.announce(&name, priority).await {
            tracing::debug!(%error, "A worker's name was not noted.");
        }
        let monitor = monitor(name, &queue, priority, &slots);
        let context = monitor.context();
        let running = monitor.run();
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => {
                // apalis' text has several lines.
                let error = ended.map_or_else(|error| error.to_string(), |()| String::new());
                let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
                let error = fault::of_text(&error);
                tracing::warn!(%error, "The queue's worker ended; a new one starts when Redis accepts writes");
            }
            () = slots.stop.cancelled() => {
                let _ = context.shutdown();
                // What it could not hand back is in the rows, anyhow.
                let _ = time::timeout(QUIT_TIMEOUT, running).await;
                return;
            }
        }
        tokio::select! {
            () = slots.stop.cancelled() => return,
            () = until_redis_works(&queue) => tracing::info!("The queue is read again."),
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

/// The job. It always succeeds: whether a mail is tried again is not for the queue to decide.
async fn wake(payload: Value, slots: Data<DeliverySlots>, priority: Data<Priority>) {
    if let Some(mail) = Queue::mail_of(&payload) {
        slots.begin(mail, *priority).await;
    } else {
        tracing::warn!("The queue held something that is no mail's id; it was dropped.");
    }
}

/// A worker of the queue writes even when it reads, so an answer alone is not enough.
async fn until_redis_works(queue: &Queue) {
    loop {
        time::sleep(RESTART_DELAY).await;
        if queue.check_write().await.is_ok() {
            return;
        }
    }
}

/// Wakes the worker at a steady pace.
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
        // Only a pending interval has taken note of the waker.
        let mut poll = Poll::Pending;
        while self.0.poll_tick(cx).is_ready() {
            poll = Poll::Ready(Some(()));
        }
        poll
    }
}
