//! `GET /health/live` and `GET /health/ready`.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use latchkey_shared::{
    config::Connections,
    dependency::{Diagnosis, Refusal},
    health::{self, Check, Checks, OK, WRONG_CLOCK},
    models::mail::delivery_health::{self, DeliveryHealth},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::{
    accounts::pictures::media_dir,
    app_state::App,
    http::{
        error::{ApiError, DependencyFailure},
        tag::Tag,
    },
};

/// The minimum time between two lines about failed requests with the same remedy while the health checks succeed.
const DIAGNOSIS_PERIOD: Duration = Duration::from_mins(1);

/// How long after an outage calls may fail that began in it. All calls have shorter timeouts.
const LATE_FAILURE: Duration = Duration::from_secs(10);

/// The process is alive.
#[derive(Debug, Object)]
struct Liveness {
    /// `ok`
    status: String,
}

/// The state of each dependency: `ok`, or the problem in a fixed word.
#[derive(Debug, Object)]
struct Readiness {
    /// `ok`; `degraded`: some requests fail; `unavailable`: all requests fail; `stopping`: the process is shutting down.
    status: String,
    /// The SQL database. Without it every request fails.
    database: String,
    /// Redis. Without it logins, registrations and one-time codes fail. Signed-in users are not affected.
    redis: String,
    /// The folder of the profile pictures. Without it uploads fail.
    media: String,
    /// The SMTP server, by the workers' latest deliveries. Without it mails are deferred. `unknown` while the database fails.
    smtp: String,
}

#[derive(ApiResponse)]
enum Ready {
    /// The service accepts requests. If it is `degraded`, some of them fail.
    #[oai(status = 200)]
    Yes(Json<Readiness>),
    /// All requests fail, or the process is shutting down.
    #[oai(status = 503)]
    No(Json<Readiness>),
}

/// The health checks of the API.
pub struct HealthChecks {
    database: Check,
    redis: Check,
    media: Check,
    smtp: Check,
    connections: Connections,
    is_diagnosing: AtomicBool,
    failures: Mutex<Failures>,
}

/// The latest failures of calls.
#[derive(Default)]
struct Failures {
    /// The remedies, and when each was new.
    remedies: HashMap<&'static str, Instant>,
    /// When a health check failed last.
    last_outage: Option<Instant>,
}

/// The state of each dependency: `ok`, or the problem in a fixed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencyStates {
    /// The SQL database.
    pub database: &'static str,
    /// Redis.
    pub redis: &'static str,
    /// `MEDIA_DIR`.
    pub media: &'static str,
    /// The SMTP server.
    pub smtp: &'static str,
}

impl HealthChecks {
    /// Creates the checks of these connections.
    #[must_use]
    pub fn new(checks: &Checks, connections: Connections) -> Self {
        Self {
            database: checks.of("database"),
            redis: checks.of("redis"),
            media: checks.of("media"),
            smtp: checks.of("smtp"),
            connections,
            is_diagnosing: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }

    /// Returns whether a failed call is the first with its remedy within [`DIAGNOSIS_PERIOD`], and belongs to no outage that a health
    /// check has found and logged.
    fn is_new(&self, remedy: &'static str) -> bool {
        let mut failures = self.lock_failures();
        let outage = failures.last_outage;
        if outage.is_some_and(|at| at.elapsed() < LATE_FAILURE) {
            return false;
        }
        let remedies = &mut failures.remedies;
        remedies.retain(|_, at| at.elapsed() < DIAGNOSIS_PERIOD);
        let is_new = !remedies.contains_key(remedy);
        remedies.entry(remedy).or_insert_with(Instant::now);
        is_new
    }

    /// Returns whether the dependencies work that requests use. Remembers an outage.
    async fn works(&self, app: &App) -> bool {
        let works = Box::pin(self.ask(app)).await.serve_requests();
        if !works {
            self.lock_failures().last_outage = Some(Instant::now());
        }
        works
    }

    fn lock_failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next [`Self::ask`] ignore cached results.
    async fn expire_results(&self) {
        for check in [&self.database, &self.redis, &self.media, &self.smtp] {
            check.expire().await;
        }
    }

    /// Attempts a write in each dependency, or returns the cached results of the last seconds.
    pub async fn ask(&self, app: &App) -> DependencyStates {
        let Connections { db, redis, queue } = &self.connections;
        let namespace = &app.config.common.redis_namespace;
        let keys = app.limits.fixed_keys();
        let (database, redis, media, smtp) = tokio::join!(
            self.database.ask(health::check_database(db)),
            self.redis
                .ask(health::check_redis(redis, namespace, queue, &keys)),
            self.media.ask(check_media(app)),
            self.smtp.ask_indirectly(check_smtp(app)),
        );
        DependencyStates {
            database,
            redis: health::with_clock(redis, app.clock()),
            media,
            smtp,
        }
    }
}

/// Checks the dependencies after a failed call, in the background. The checks log the start and the end of an outage once, and not
/// each call. Continues for a minute at least, and until all dependencies work. If the checks succeed, logs the failure, once a
/// minute for each remedy.
///
/// A failure that is no part of an outage is not logged within some seconds after one, but its next repetition is.
pub fn diagnose(app: App, failure: DependencyFailure) {
    let is_new = app.health.is_new(failure.remedy);
    check_until_recovery(app, is_new.then_some(failure.text));
}

/// Starts [`diagnose`] after `error`, which failed no request, if a dependency is the cause. Otherwise logs the error with
/// `message`.
pub fn report(app: &App, error: &ApiError, message: &str) {
    if let Some(failure) = error.dependency_failure() {
        tracing::debug!(error = failure.text, "{message}");
        diagnose(app.clone(), failure);
    } else {
        tracing::error!(%error, "{message}");
    }
}

/// Starts [`diagnose`] whenever Redis fails without failing a request, such as at a push to the queue.
pub async fn follow_redis_failures(app: App) {
    let mut failures = app.redis_failures.follow();
    while let Some(refusal) = failures.next().await {
        diagnose(app.clone(), refusal.into());
    }
}

/// Checks the dependencies like [`diagnose`] after one of them failed at the start of the server.
pub fn watch_outage(app: App) {
    check_until_recovery(app, None);
}

fn check_until_recovery(app: App, new_failure: Option<String>) {
    let is_running = app.health.is_diagnosing.swap(true, Ordering::AcqRel);
    if is_running && new_failure.is_none() {
        return;
    }
    let diagnosis = async move {
        app.health.expire_results().await;
        let works = app.health.works(&app).await;
        if let (Some(error), true) = (new_failure, works) {
            tracing::error!(
                error,
                "A dependency failed, although the health checks succeed"
            );
        }
        if is_running {
            return;
        }
        let start = Instant::now();
        while !app.stopping.load(Ordering::Relaxed) {
            sleep(health::VALIDITY).await;
            if app.health.works(&app).await && start.elapsed() >= DIAGNOSIS_PERIOD {
                break;
            }
        }
        app.health.is_diagnosing.store(false, Ordering::Release);
    };
    tokio::spawn(diagnosis.in_current_span());
}

async fn check_media(app: &App) -> Result<(), Refusal> {
    let checked = app.pictures.check_write().await;
    checked.map_err(|error| media_dir::refusal(&error))
}

/// Reads the state of the SMTP server from the mails in the database, because the API does not use SMTP. Returns `None` if the
/// database fails.
async fn check_smtp(app: &App) -> Option<Result<(), Refusal>> {
    let health = delivery_health::check(&app.db, app.now()).await.ok()?;
    Some(match health {
        DeliveryHealth::Failing(problem) => Err(Refusal {
            dependency: "SMTP",
            cause: problem.message,
            diagnosis: Diagnosis {
                word: problem.cause.as_str(),
                remedy: "run latchkey-worker doctor",
            },
        }),
        DeliveryHealth::OneRefused | DeliveryHealth::Accepted(_) | DeliveryHealth::Idle => Ok(()),
    })
}

impl DependencyStates {
    /// Returns whether the dependencies work that requests use. SMTP is not one of them, nor is the clock of Redis.
    fn serve_requests(self) -> bool {
        [self.database, self.media] == [OK; 2] && [OK, WRONG_CLOCK].contains(&self.redis)
    }

    /// Returns `ok`, `degraded` or `unavailable`.
    fn status(self) -> &'static str {
        match self {
            Self { database, .. } if database != OK => "unavailable",
            Self {
                redis: OK,
                media: OK,
                smtp: OK,
                ..
            } => OK,
            _ => "degraded",
        }
    }
}

/// The endpoints of the health checks.
pub struct Health;

#[OpenApi]
impl Health {
    /// Liveness check
    ///
    /// Checks only that the process answers. If it fails, restart the process.
    #[oai(
        path = "/health/live",
        method = "get",
        operation_id = "getLiveness",
        tag = "Tag::Operation"
    )]
    #[expect(
        clippy::unused_async,
        reason = "poem-openapi takes async handlers only"
    )]
    async fn live(&self) -> Json<Liveness> {
        Json(Liveness {
            status: OK.to_owned(),
        })
    }

    /// Readiness check
    ///
    /// Checks the dependencies with a read and a write. If it fails, send no requests to this server.
    #[oai(
        path = "/health/ready",
        method = "get",
        operation_id = "getReadiness",
        tag = "Tag::Operation"
    )]
    async fn ready(&self, Data(app): Data<&App>) -> Ready {
        let dependencies = Box::pin(app.health.ask(app)).await;
        let status = if app.stopping.load(Ordering::Relaxed) {
            "stopping"
        } else {
            dependencies.status()
        };
        let readiness = Json(Readiness {
            status: status.to_owned(),
            database: dependencies.database.to_owned(),
            redis: dependencies.redis.to_owned(),
            media: dependencies.media.to_owned(),
            smtp: dependencies.smtp.to_owned(),
        });
        if matches!(status, OK | "degraded") {
            Ready::Yes(readiness)
        } else {
            Ready::No(readiness)
        }
    }
}
