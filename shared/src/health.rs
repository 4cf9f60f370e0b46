//! Health checks: whether each dependency works, and not only whether it responds.
//!
//! A check attempts a write like those of requests. Its result is cached for some seconds, so that any number of probes costs one
//! attempt. The beginning of an outage is logged with its remedy, and so is its end.

use std::{future::Future, time::Duration};

use fred::clients::Client;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use sea_orm::DbErr;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    clock::Clock,
    database::{Database, Outage},
    dependency::{Diagnosis, Refusal},
    models,
    queue::Queue,
    redis::{self, TypedKey},
};

/// How long a result is cached.
pub const VALIDITY: Duration = Duration::from_secs(3);
/// The timeout of a check. Longer than the timeout of a Redis command, whose error says more, and shorter than the 3 seconds
/// after which load balancers give up a probe.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// The timeout of the database's write. Shorter than [`TIMEOUT`], so that the check can report why the database takes longer.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(2400);

/// The result for a dependency that works.
pub const OK: &str = "ok";

/// The result for Redis if it works, but its clock differs by more than [`MAX_OFFSET`](crate::clock::MAX_OFFSET), so that the program
/// does not follow it. [`Clock`] logs it.
pub const WRONG_CLOCK: &str = "wrong clock";

/// The result for a dependency whose state is stored in the database, while the database fails.
pub const UNKNOWN: &str = "unknown";

const NO_ANSWER: Diagnosis = Diagnosis {
    word: "does not answer",
    remedy: "check whether it is overloaded, paused or unreachable",
};

/// Creates the checks of a program, and holds their metric.
#[derive(Clone)]
pub struct Checks(IntGaugeVec);

/// The health check of one dependency.
pub struct Check {
    dependency: &'static str,
    up: IntGauge,
    valid_for: Duration,
    last: Mutex<LastResult>,
}

struct LastResult {
    /// The cached result, and when it was attempted.
    cached: Option<(Instant, &'static str)>,
    /// The last result that was logged.
    logged: &'static str,
}

impl Checks {
    /// Registers the metric.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(
            "latchkey_dependency_up",
            "1 when the dependency does its work, 0 when it does not, by dependency.",
        );
        let up = IntGaugeVec::new(options, &["dependency"])?;
        registry.register(Box::new(up.clone()))?;
        Ok(Self(up))
    }

    /// Creates the check of a dependency: `database`, `redis`, `media` or `smtp`.
    #[must_use]
    pub fn of(&self, dependency: &'static str) -> Check {
        Check {
            dependency,
            up: self.0.with_label_values(&[dependency]),
            valid_for: VALIDITY,
            last: Mutex::new(LastResult {
                cached: None,
                logged: OK,
            }),
        }
    }
}

impl Check {
    /// Sets how long a result is cached. The default is 3 seconds.
    #[must_use]
    pub fn valid_for(self, valid_for: Duration) -> Self {
        Self { valid_for, ..self }
    }

    /// Returns [`OK`], or the fixed word for the dependency's problem. Uses the cached result or runs `attempt`. Concurrent
    /// callers share one attempt.
    pub async fn ask(&self, attempt: impl Future<Output = Result<(), Refusal>>) -> &'static str {
        let answered = async {
            let attempt = timeout(TIMEOUT, attempt).await;
            Some(attempt.unwrap_or_else(|_| Err(timed_out(self.dependency, TIMEOUT))))
        };
        self.record(answered).await
    }

    /// Checks a dependency like [`Check::ask`] whose state is read from another one. Returns [`UNKNOWN`] if `attempt` returns
    /// `None`; the metric then keeps its value.
    pub async fn ask_indirectly(
        &self,
        attempt: impl Future<Output = Option<Result<(), Refusal>>>,
    ) -> &'static str {
        self.record(async { timeout(TIMEOUT, attempt).await.ok().flatten() })
            .await
    }

    /// Makes the next [`Check::ask`] ignore the cached result.
    pub async fn expire(&self) {
        self.last.lock().await.cached = None;
    }

    async fn record(
        &self,
        attempt: impl Future<Output = Option<Result<(), Refusal>>>,
    ) -> &'static str {
        let mut last = self.last.lock().await;
        if let Some((at, word)) = last.cached
            && at.elapsed() < self.valid_for
        {
            return word;
        }
        let word = match attempt.await {
            None => UNKNOWN,
            Some(result) => {
                let refusal = result.err();
                let word = refusal.as_ref().map_or(OK, |it| it.diagnosis.word);
                if std::mem::replace(&mut last.logged, word) != word {
                    self.log(refusal.as_ref());
                }
                self.up.set(i64::from(refusal.is_none()));
                word
            }
        };
        last.cached = Some((Instant::now(), word));
        word
    }

    fn log(&self, refusal: Option<&Refusal>) {
        let dependency = self.dependency;
        if let Some(refusal) = refusal {
            tracing::error!(dependency, error = %refusal, "Dependency failed");
        } else {
            tracing::info!(dependency, "Dependency works again");
        }
    }
}

fn timed_out(dependency: &'static str, timeout: Duration) -> Refusal {
    Refusal {
        dependency,
        cause: format!("no answer within {} ms", timeout.as_millis()),
        diagnosis: NO_ANSWER,
    }
}

/// Attempts a write in the database, and checks that it has all tables and columns.
pub async fn check_database(db: &Database) -> Result<(), Refusal> {
    let checked = async {
        db.check_write().await?;
        models::check_schema(db).await
    };
    match timeout(DATABASE_TIMEOUT, checked).await {
        Ok(written) => written.map_err(|error| (&error).into()),
        Err(_) => Err(db.wait_reason().map_or_else(
            || timed_out("database", DATABASE_TIMEOUT),
            |error| (&error).into(),
        )),
    }
}

/// Attempts the writes of requests in Redis over both connections: the one for codes and limits, and the one of the queue. Also
/// checks the types of the queue's keys and of `keys`.
pub async fn check_redis(
    client: &Client,
    namespace: &str,
    queue: &Queue,
    keys: &[TypedKey],
) -> Result<(), Refusal> {
    let written = tokio::join!(
        check_redis_twice(move || async move {
            let written = redis::check_write(client, namespace, keys).await;
            written.map_err(|error| Refusal::from(&error))
        }),
        check_redis_twice(move || async move {
            let written = queue.check_write().await;
            written.map_err(|error| Refusal::from(&error))
        }),
    );
    let result = match written {
        // While fred reconnects, its commands time out; the queue's client knows the reason.
        (Err(codes), Err(pushes)) if codes.is_unresponsive() => Err(pushes),
        (codes, pushes) => codes.and(pushes),
    };
    match result {
        Err(refusal) => Err(queue.explain(refusal).await),
        Ok(()) => Ok(()),
    }
}

/// Adds the state of the clock to the result of [`check_redis`].
#[must_use]
pub fn with_clock(word: &'static str, clock: &Clock) -> &'static str {
    if word == OK && clock.rejects_redis() {
        WRONG_CLOCK
    } else {
        word
    }
}

/// Attempts a check again after a broken connection, such as the first call after a restart of Redis finds. The second attempt
/// uses a new connection and gets the error of Redis itself.
async fn check_redis_twice<F>(attempt: impl Fn() -> F) -> Result<(), Refusal>
where
    F: Future<Output = Result<(), Refusal>>,
{
    let mut broken = None;
    let attempts = async {
        match attempt().await {
            Err(refusal) if refusal.is_unreachable() => {
                broken = Some(refusal);
                attempt().await
            }
            result => result,
        }
    };
    let result = timeout(redis::COMMAND_TIMEOUT, attempts).await;
    result.unwrap_or_else(|_| Err(broken.unwrap_or_else(redis::fault::timed_out)))
}

/// Returns the fixed word for an outage of the database.
fn health_word(outage: Outage) -> &'static str {
    match outage {
        Outage::Unreachable => "unreachable",
        Outage::Restarting => "restarting",
        Outage::TooManyConnections => "too many connections",
        Outage::Refused => "refuses the login",
        Outage::ReadOnly => "read-only",
        Outage::DiskFull => "full",
        Outage::OutOfMemory => "out of memory",
        Outage::SchemaIncomplete => "schema incomplete",
        Outage::InputOutput => "I/O error",
        Outage::Damaged => "damaged",
        Outage::SequenceExhausted => "sequence exhausted",
        Outage::SequenceBehind => "sequence behind its table",
        Outage::RefusedByTrigger => "refused by a trigger",
        Outage::RefusedByConstraint => "refused by a constraint",
        Outage::Cancelled => "cancelled",
        Outage::Locked => "locked",
        Outage::Moved => "moved",
        Outage::LogLost => "log lost",
    }
}

impl From<&DbErr> for Refusal {
    fn from(error: &DbErr) -> Self {
        let otherwise = Diagnosis {
            word: "fails",
            remedy: "check the log of the database",
        };
        Self {
            dependency: "database",
            cause: error.to_string(),
            diagnosis: Outage::of(error).map_or(otherwise, |outage| Diagnosis {
                word: health_word(outage),
                remedy: outage.remedy(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn refusal() -> Refusal {
        redis::fault::from_text("OOM command not allowed")
    }

    /// Any number of probes costs one attempt, whether it succeeds or fails.
    #[tokio::test]
    async fn check_asked_often_makes_one_attempt() {
        let registry = Registry::new();
        let check = Checks::new(&registry).unwrap().of("redis");
        let attempts = AtomicUsize::new(0);
        let ask = || {
            check.ask(async {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err(refusal())
            })
        };

        let words = tokio::join!(ask(), ask(), ask());

        assert_eq!(words, ("out of memory", "out of memory", "out of memory"));
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        assert_eq!(check.up.get(), 0);
    }

    /// Otherwise each probe would wait for its own timeout while the database fails.
    #[tokio::test]
    async fn check_unknown_result_is_cached_and_not_logged() {
        let registry = Registry::new();
        let check = Checks::new(&registry).unwrap().of("smtp");
        check.ask(async { Err(refusal()) }).await;
        check.expire().await;

        assert_eq!(check.ask_indirectly(async { None }).await, UNKNOWN);
        let attempt = async { Some(Ok(())) };
        assert_eq!(check.ask_indirectly(attempt).await, UNKNOWN);
        assert_eq!(check.last.lock().await.logged, "out of memory");
        assert_eq!(check.up.get(), 0);
    }

    #[tokio::test]
    async fn check_dependency_recovers_says_ok() {
        let registry = Registry::new();
        let check = Checks::new(&registry).unwrap().of("redis");
        assert_eq!(check.ask(async { Err(refusal()) }).await, "out of memory");

        check.expire().await;

        assert_eq!(check.ask(async { Ok(()) }).await, OK);
        assert_eq!(check.up.get(), 1);
    }
}
