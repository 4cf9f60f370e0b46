//! What the packages leave of a limit: poem around Latchkey's look-up of a session or its hash of a password, and apalis around
//! lettre; without tokens, limits, audit log, log lines, and a row for each mail.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use apalis::prelude::{BackendExt as _, Data, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::backend::{BackendConfig as _, ext::poll_strategy::IntervalStrategy};
use chrono::TimeDelta;
use latchkey_api::{
    auth::session_loader::SessionLookup,
    passwords::metrics::HashMetrics,
    {config::hash_cost::HashCost, passwords::hasher::PasswordHasher},
};
use latchkey_shared::{
    clock::Clock, database, models::mail::Priority, queue::Queue, telemetry::metrics::Metrics,
};
use poem::{
    Endpoint, EndpointExt as _, Response, Route, get, handler,
    http::StatusCode,
    web::{Data as State, Path},
};
use serde_json::Value;
use tokio::sync::{Mutex, Notify, Semaphore};
use uuid::Uuid;

use crate::{
    limits::{CONVERSATIONS, Conversation, constant},
    stage::PASSWORD,
};

/// The timeout of a queued password hash, as in the API.
const HASH_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many mails are in hand at once, as in the worker.
const IN_HAND: usize = 4 * CONVERSATIONS;
/// How often the queue is looked at, as there.
const PERIOD: Duration = Duration::from_millis(15);

/// What answers with the constant, but not at once. `/found/` first looks for a session as for every access token, `/used/`
/// also notes its use as every refresh does, `/verified` compares a password as every login does.
pub(crate) async fn routes(url: &str, body: &str) -> anyhow::Result<impl Endpoint + 'static> {
    let db = database::create(url).await?;
    let metrics = HashMetrics::new(Metrics::new("bare", "0")?.registry())?;
    let hasher = PasswordHasher::new(HashCost::default(), HASH_QUEUE_TIMEOUT, metrics);
    Ok(Route::new()
        .at("/found/:session", get(find))
        .at("/used/:session", get(find_and_note))
        .at("/verified", get(verify))
        .data(Arc::new(SessionLookup::new(&db, TimeDelta::days(1))))
        .data(Arc::new(hasher))
        .data(body.to_owned()))
}

#[handler]
async fn find(
    Path(session): Path<Uuid>,
    State(sessions): State<&Arc<SessionLookup>>,
    State(body): State<&String>,
) -> poem::Result<Response> {
    let found = sessions.find_alive(session, Clock::system().now()).await?;
    found.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(constant(body))
}

#[handler]
async fn find_and_note(
    Path(session): Path<Uuid>,
    State(sessions): State<&Arc<SessionLookup>>,
    State(body): State<&String>,
) -> poem::Result<Response> {
    let now = Clock::system().now();
    let found = sessions.find_alive(session, now).await?;
    found.ok_or(StatusCode::UNAUTHORIZED)?;
    sessions.touch(session, now).await?;
    Ok(constant(body))
}

#[handler]
async fn verify(
    State(hasher): State<&Arc<PasswordHasher>>,
    State(body): State<&String>,
) -> poem::Result<Response> {
    let password = PASSWORD.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    // Nobody's hash takes the same work.
    hasher.verify(password, None).await?;
    Ok(constant(body))
}

/// Mails whose jobs are taken from the queue one by one and sent.
#[derive(Clone)]
struct Sending {
    /// Those that are open and free, and a permit for each.
    open: Arc<Mutex<Vec<Conversation>>>,
    free: Arc<Semaphore>,
    left: Arc<AtomicUsize>,
    first: Arc<Mutex<Option<Instant>>>,
    /// Why one was not sent.
    failed: Arc<Mutex<Option<anyhow::Error>>>,
    /// All were sent, or one was not.
    done: Arc<Notify>,
}

/// Mails in a second by a worker of apalis that hands each over to lettre and keeps no note of any.
pub(crate) async fn mails(redis: &str, sink: SocketAddr, count: usize) -> anyhow::Result<f64> {
    let queue = Queue::connect(redis, &format!("bare_{}", Uuid::now_v7().simple())).await?;
    let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
    queue.push(&ids, Priority::High).await?;
    let mut open = Vec::new();
    for _ in 0..CONVERSATIONS {
        open.push(Conversation::open(sink).await?);
    }
    let sending = Sending {
        open: Arc::new(Mutex::new(open)),
        free: Arc::new(Semaphore::new(CONVERSATIONS)),
        left: Arc::new(AtomicUsize::new(count)),
        first: Arc::default(),
        failed: Arc::default(),
        done: Arc::default(),
    };
    let storage = queue.storage(Priority::High);
    // As many as apalis can use; the worker has no use for more than ten.
    let config = storage.config().clone().batch_size(IN_HAND);
    let strategy = IntervalStrategy::new(PERIOD);
    let worker = WorkerBuilder::new("bare")
        .backend(storage.with_config(config).poll_with_strategy(strategy))
        .concurrency(IN_HAND)
        .data(sending.clone())
        .build(send);
    tokio::select! {
        ended = worker.run() => anyhow::bail!("apalis ended: {ended:?}"),
        () = sending.done.notified() => {}
    }
    if let Some(error) = sending.failed.lock().await.take() {
        return Err(error);
    }
    let first = *sending.first.lock().await;
    let time = first.map_or(Duration::ZERO, |first| first.elapsed());
    for conversation in sending.open.lock().await.drain(..) {
        conversation.close().await?;
    }
    Ok((count - 1) as f64 / time.as_secs_f64())
}

async fn send(job: Value, sending: Data<Sending>) {
    if let Err(error) = sending.send(&job).await {
        *sending.failed.lock().await = Some(error);
        sending.done.notify_one();
    }
}

impl Sending {
    async fn send(&self, job: &Value) -> anyhow::Result<()> {
        let _free = self.free.acquire().await?;
        let conversation = self.open.lock().await.pop();
        let mut conversation = conversation.context("a permit for each conversation")?;
        let account = Queue::mail_of(job).context("an id")?;
        conversation.send(&account.simple().to_string()).await?;
        self.first.lock().await.get_or_insert_with(Instant::now);
        self.open.lock().await.push(conversation);
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
        Ok(())
    }
}
