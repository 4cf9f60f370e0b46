//! `GET /health/live` and `/health/ready`

use std::sync::atomic::Ordering;

use latchkey_shared::{health, redis};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use crate::{app::App, openapi::Tag};

/// The process runs.
#[derive(Debug, Object)]
struct Alive {
    /// `ok`
    status: String,
}

/// What the service depends on, each `ok` or what is wrong with it.
#[derive(Debug, Object)]
struct Readiness {
    /// `ok`, `unavailable` when any dependency is, or `stopping` when it has been told to end.
    status: String,
    /// The SQL database.
    database: String,
    /// Redis.
    redis: String,
}

#[derive(ApiResponse)]
enum Ready {
    /// Every dependency answers.
    #[oai(status = 200)]
    Yes(Json<Readiness>),
    /// At least one does not, or it is about to stop.
    #[oai(status = 503)]
    No(Json<Readiness>),
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
            status: "ok".to_owned(),
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
        let (database, redis) = tokio::join!(
            health::ask("database", app.db.ping()),
            health::ask("redis", redis::ping(&app.redis)),
        );
        let stopping = app.stopping.load(Ordering::Relaxed);
        let ready = database == "ok" && redis == "ok" && !stopping;
        let status = match (stopping, ready) {
            (true, _) => "stopping",
            (false, true) => "ok",
            (false, false) => "unavailable",
        };
        let readiness = Json(Readiness {
            status: status.to_owned(),
            database: database.to_owned(),
            redis: redis.to_owned(),
        });
        if ready {
            Ready::Yes(readiness)
        } else {
            Ready::No(readiness)
        }
    }
}
