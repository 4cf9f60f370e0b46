//! `GET /health/live` and `/health/ready`

use std::sync::atomic::Ordering;

use latchkey_shared::{
    config::Connections,
    dependency::{Diagnosis, Refusal},
    health::{self, Check, Checks, OK},
    models::mail::delivery_health::{self, DeliveryHealth},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use crate::{accounts::pictures::media_dir, app_state::App, http::tag::Tag};

/// The process runs.
#[derive(Debug, Object)]
struct Alive {
    /// `ok`
    status: String,
}

/// What the service depends on, each `ok` or what is wrong with it.
#[derive(Debug, Object)]
struct Readiness {
    /// `ok`; `degraded` when some requests fail; `unavailable` when every request does; `stopping` when the process was told to end.
    status: String,
    /// The SQL database. Without it every request fails.
    database: String,
    /// Redis. Without it logins, registrations and codes fail; signed-in users go on.
    redis: String,
    /// The folder of profile pictures. Without it uploads fail.
    media: String,
    /// The SMTP server, by the workers' latest attempts to send. Without it mails wait.
    smtp: String,
}

#[derive(ApiResponse)]
enum Ready {
    /// Requests are served; `degraded` names what is not.
    #[oai(status = 200)]
    Yes(Json<Readiness>),
    /// No request is served, or the process is about to stop.
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
}

/// A word for each dependency, `ok` or what is wrong with it.
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
    /// Checks over these connections.
    #[must_use]
    pub fn new(checks: &Checks, connections: Connections) -> Self {
        Self {
            database: checks.of("database"),
            redis: checks.of("redis"),
            media: checks.of("media"),
            smtp: checks.of("smtp"),
            connections,
        }
    }

    /// Tries a write of each kind, or returns what was found within the last seconds.
    pub async fn ask(&self, app: &App) -> DependencyStates {
        let Connections { db, redis, queue } = &self.connections;
        let namespace = &app.config.common.redis_namespace;
        let (database, redis, media, smtp) = tokio::join!(
            self.database.ask(health::check_database(db)),
            self.redis.ask(health::check_redis(redis, namespace, queue)),
            self.media.ask(check_media(app)),
            self.smtp.ask(check_smtp(app)),
        );
        DependencyStates {
            database,
            redis,
            media,
            smtp,
        }
    }
}

async fn check_media(app: &App) -> Result<(), Refusal> {
    let folder = app.config.media_dir.clone();
    let checked = tokio::task::spawn_blocking(move || media_dir::check_write(&folder)).await;
    checked
        .map_err(std::io::Error::other)
        .and_then(|written| written)
        .map_err(|error| media_dir::refusal(&error))
}

/// The API speaks no SMTP: the rows of the mails tell.
async fn check_smtp(app: &App) -> Result<(), Refusal> {
    let health = delivery_health::check(&app.db, app.now()).await;
    match health.map_err(|error| Refusal::from(&error))? {
        DeliveryHealth::Failing(problem) => Err(Refusal {
            dependency: "SMTP",
            cause: problem.message,
            diagnosis: Diagnosis {
                word: problem.cause.as_str(),
                remedy: "latchkey-worker doctor says what to do",
            },
        }),
        DeliveryHealth::OneRefused | DeliveryHealth::Accepted(_) | DeliveryHealth::Idle => Ok(()),
    }
}

impl DependencyStates {
    /// `ok`, `degraded` or `unavailable`.
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

/// See the module.
pub struct Health;

#[OpenApi]
impl Health {
    /// Is the process alive?
    #[oai(
        path = "/health/live",
        method = "get",
        operation_id = "live",
        tag = "Tag::Operation"
    )]
    #[expect(
        clippy::unused_async,
        reason = "poem-openapi takes async handlers only"
    )]
    async fn live(&self) -> Json<Alive> {
        Json(Alive {
            status: OK.to_owned(),
        })
    }

    /// Can it serve?
    #[oai(
        path = "/health/ready",
        method = "get",
        operation_id = "ready",
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
