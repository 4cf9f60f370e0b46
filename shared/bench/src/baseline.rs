//! The dependencies without Latchkey: poem with a session look-up or a password verification, and apalis with lettre.
//! There are no tokens, rate limits, audit events, log lines or mail rows.

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
    config::hash_cost::HashCost,
    passwords::{django::Dearest, hasher::PasswordHasher, metrics::HashMetrics},
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
    limits::{SMTP_CONNECTIONS, SmtpConnection, constant},
    seed::PASSWORD,
};

/// The timeout of a queued password hash, as in the API.
const HASH_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of mails in flight, as in the worker.
const PREFETCH: usize = 4 * SMTP_CONNECTIONS;
/// The interval between two polls of the queue, as in the worker.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Returns the routes. Each responds with the constant: `/session/` after the session look-up of an access token,
/// `/session-use/` after also updating the session's last use as a refresh does, `/password` after verifying a password.
pub(crate) async fn routes(url: &str, body: &str) -> anyhow::Result<impl Endpoint + 'static> {
    let db = database::create(url).await?;
    let metrics = HashMetrics::new(Metrics::new("baseline", "0")?.registry())?;
    let hasher = PasswordHasher::new(HashCost::default(), HASH_QUEUE_TIMEOUT, metrics);
    Ok(Route::new()
        .at("/session/:session", get(find_session))
        .at("/session-use/:session", get(find_and_touch_session))
        .at("/password", get(verify_password))
        .data(Arc::new(SessionLookup::new(&db, TimeDelta::days(1))))
        .data(Arc::new(hasher))
        .data(body.to_owned()))
}

#[handler]
async fn find_session(
    Path(session): Path<Uuid>,
    State(sessions): State<&Arc<SessionLookup>>,
    State(body): State<&String>,
) -> poem::Result<Response> {
    let found = sessions.find_alive(session, Clock::system().now()).await?;
    found.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(constant(body))
}

#[handler]
async fn find_and_touch_session(
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
async fn verify_password(
    State(hasher): State<&Arc<PasswordHasher>>,
    State(body): State<&String>,
) -> poem::Result<Response> {
    let password = PASSWORD.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    // Verification against the dummy hash costs the same.
    hasher
        .verify_login(password, None, &Dearest::default())
        .await?;
    Ok(constant(body))
}

/// The state that the apalis jobs share.
#[derive(Clone)]
struct Sender {
    /// The idle connections, with a permit for each.
    idle: Arc<Mutex<Vec<SmtpConnection>>>,
    permits: Arc<Semaphore>,
    remaining: Arc<AtomicUsize>,
    first_sent: Arc<Mutex<Option<Instant>>>,
    /// The error of a mail that was not sent.
    error: Arc<Mutex<Option<anyhow::Error>>>,
    /// Notified after the last mail or the first error.
    done: Arc<Notify>,
}

/// Measures the mails per second of an apalis worker that passes each job to lettre.
pub(crate) async fn mails(redis: &str, sink: SocketAddr, count: usize) -> anyhow::Result<f64> {
    let queue = Queue::new(redis, &format!("baseline_{}", Uuid::now_v7().simple()))?;
    let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
    queue.push(&ids, Priority::High).await?;
    let mut idle = Vec::new();
    for _ in 0..SMTP_CONNECTIONS {
        idle.push(SmtpConnection::open(sink).await?);
    }
    let sender = Sender {
        idle: Arc::new(Mutex::new(idle)),
        permits: Arc::new(Semaphore::new(SMTP_CONNECTIONS)),
        remaining: Arc::new(AtomicUsize::new(count)),
        first_sent: Arc::default(),
        error: Arc::default(),
        done: Arc::default(),
    };
    let storage = queue.storage(Priority::High);
    // The largest batch that apalis uses here. Latchkey's worker needs at most ten.
    let config = storage.config().clone().batch_size(PREFETCH);
    let strategy = IntervalStrategy::new(POLL_INTERVAL);
    let worker = WorkerBuilder::new("baseline")
        .backend(storage.with_config(config).poll_with_strategy(strategy))
        .concurrency(PREFETCH)
        .data(sender.clone())
        .build(send);
    tokio::select! {
        ended = worker.run() => anyhow::bail!("the apalis worker ended: {ended:?}"),
        () = sender.done.notified() => {}
    }
    if let Some(error) = sender.error.lock().await.take() {
        return Err(error);
    }
    let first = *sender.first_sent.lock().await;
    let time = first.map_or(Duration::ZERO, |first| first.elapsed());
    for connection in sender.idle.lock().await.drain(..) {
        connection.close().await?;
    }
    Ok((count - 1) as f64 / time.as_secs_f64())
}

async fn send(job: Value, sender: Data<Sender>) {
    if let Err(error) = sender.send(&job).await {
        *sender.error.lock().await = Some(error);
        sender.done.notify_one();
    }
}

impl Sender {
    async fn send(&self, job: &Value) -> anyhow::Result<()> {
        let _permit = self.permits.acquire().await?;
        let connection = self.idle.lock().await.pop();
        let mut connection = connection.context("no idle connection despite a permit")?;
        let mail = Queue::mail_of(job).context("the job has no mail id")?;
        connection.send(&mail.simple().to_string()).await?;
        self.first_sent
            .lock()
            .await
            .get_or_insert_with(Instant::now);
        self.idle.lock().await.push(connection);
        if self.remaining.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
        Ok(())
    }
}
