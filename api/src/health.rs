//! `GET /health/live` and `/health/ready`

use std::time::Duration;

use latchkey_shared::redis;
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use crate::{app::App, openapi::Tag};

/// A dependency that has not answered by then counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process runs.
#[derive(Debug, Object)]
struct Alive {
    /// `ok`
    status: String,
}

/// What the service depends on, each `ok` or what is wrong with it.
#[derive(Debug, Object)]
struct Readiness {
    /// `ok`, or `unavailable` when any dependency is.
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
    /// At least one does not.
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
            tokio::time::timeout(PATIENCE, app.db.ping()),
            tokio::time::timeout(PATIENCE, redis::ping(&app.redis)),
        );
        let (database, redis) = (describe("database", &database), describe("redis", &redis));
        let ready = database == "ok" && redis == "ok";
        let readiness = Json(Readiness {
            status: if ready { "ok" } else { "unavailable" }.to_owned(),
            database,
            redis,
        });
        if ready {
            Ready::Yes(readiness)
        } else {
            Ready::No(readiness)
        }
    }
}

/// What is wrong is logged, not told: error texts name hosts and users.
fn describe<T, E: std::fmt::Display>(
    name: &str,
    answer: &Result<Result<T, E>, tokio::time::error::Elapsed>,
) -> String {
    match answer {
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => {
            tracing::warn!(dependency = name, %error, "A dependency fails.");
            "fails"
        }
        Err(_) => {
            tracing::warn!(dependency = name, "A dependency does not answer in time.");
            "does not answer"
        }
    }
    .to_owned()
}
