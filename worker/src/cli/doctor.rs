//! `latchkey-worker doctor`: looks at all that a worker depends on, and says what to mend.

use std::fmt::{Display, Write as _};

use chrono::{DateTime, TimeDelta, Utc};
use fred::{clients::Client, interfaces::ClientLike as _, types::InfoKind};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database},
    dependency::Refusal,
    health,
    models::mail::{
        self, Priority,
        delivery_health::{self, DeliveryHealth, FailureCause},
    },
    queue::{Queue, QueueError},
    redis,
};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Statement};
use serde_json::json;

use crate::{
    config::{Config, MailDestination, smtp_url::Tls},
    service::{self, StartError},
    transport::Transport,
};

/// Clocks further apart than this get a warning. The programs correct the difference to Redis; logs do not.
const SKEW: TimeDelta = TimeDelta::seconds(2);
/// A mail that waits longer than this is worth a word.
const LATE: TimeDelta = TimeDelta::minutes(5);
/// The oldest Redis whose commands are enough.
const OLDEST_REDIS: (u32, u32) = (6, 2);

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, but something may be lost or late.
    Warning,
    /// It does not work.
    Failure,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What it is about: `smtp`, `redis`, `database` or `clock`.
    pub subject: &'static str,
    /// How grave it is.
    pub grade: Severity,
    /// What was seen.
    pub seen: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

/// All that was looked at.
#[derive(Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    fn note(&mut self, subject: &'static str, grade: Severity, seen: impl Display, remedy: &str) {
        self.0.push(Finding {
            subject,
            grade,
            seen: seen.to_string(),
            remedy: remedy.to_owned(),
        });
    }

    /// What a dependency refuses, in the word that health checks use, with its remedy.
    fn refusal(&mut self, subject: &'static str, refusal: &Refusal) {
        let Refusal {
            cause, diagnosis, ..
        } = refusal;
        let seen = format!("{}: {cause}", diagnosis.word);
        self.note(subject, Severity::Failure, seen, diagnosis.remedy);
    }

    fn fine(&mut self, subject: &'static str, seen: impl Display) {
        self.note(subject, Severity::Ok, seen, "");
    }

    /// Whether a worker can work.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.iter().all(|it| it.grade != Severity::Failure)
    }

    /// For a terminal, a line or two for each finding.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, it| {
            let _ = writeln!(text, "{:8} {:9} {}", it.grade.as_str(), it.subject, it.seen);
            if !it.remedy.is_empty() {
                let _ = writeln!(text, "{:18} → {}", "", it.remedy);
            }
            text
        })
    }

    /// For scripts, an object a line.
    #[must_use]
    pub fn json(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, it| {
            let finding = json!({
                "subject": it.subject,
                "grade": it.grade.as_str(),
                "seen": it.seen,
                "remedy": it.remedy,
            });
            let _ = writeln!(text, "{finding}");
            text
        })
    }
}

/// Looks at everything; what fails does not keep it from the rest.
pub async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    let clock = Clock::system();
    smtp(config, &mut report).await;
    look_at_redis(config, &clock, &mut report).await;
    look_at_database(config, &clock, &mut report).await;
    report
}

async fn smtp(config: &Config, report: &mut Report) {
    let place = match &config.way {
        MailDestination::Folder(folder) => {
            format!("mails are written to MAIL_DIR, {}", folder.display())
        }
        MailDestination::Smtp(server) => {
            let url = &server.url;
            let secured = match url.tls {
                Tls::Implicit => "with TLS",
                Tls::Required => "with STARTTLS",
                Tls::Opportunistic => "with STARTTLS where it is offered",
                Tls::None => "without TLS",
            };
            let login = if url.credentials.is_some() {
                ", logged in"
            } else {
                ""
            };
            format!("{}:{} answers, {secured}{login}", url.host, url.port)
        }
    };
    let remedy = match &config.way {
        MailDestination::Folder(_) => "make the folder writable for the worker, or set SMTP_URL",
        MailDestination::Smtp(_) => {
            "check host, port, tls=, user and password in SMTP_URL; for a private certificate set SMTP_CA_FILE"
        }
    };
    let probed = match Transport::new(&config.way) {
        Ok(transport) => transport.probe().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match probed {
        Ok(()) => report.fine("smtp", place),
        Err(error) => report.note("smtp", Severity::Failure, error, remedy),
    }
    if let MailDestination::Smtp(server) = &config.way
        && server.url.tls == Tls::None
        && server.url.credentials.is_some()
    {
        let seen = "the password of SMTP_URL is sent in the open";
        report.note(
            "smtp",
            Severity::Warning,
            seen,
            "use smtps://, or tls=required",
        );
    }
}

async fn look_at_redis(config: &Config, clock: &Clock, report: &mut Report) {
    let (url, namespace) = (
        config.common.redis_url.as_str(),
        &config.common.redis_namespace,
    );
    let client = match redis::connect(url, namespace).await {
        Ok(client) => client,
        Err(error) => return report.refusal("redis", &Refusal::from(&error)),
    };
    let before = clock.now();
    match account_of(&client).await {
        Ok(info) => {
            judge_redis(&info, report);
            let micros = fact(&info, "server_time_usec").parse().ok();
            if let Some(theirs) = micros.and_then(DateTime::from_timestamp_micros) {
                judge_clock("Redis", theirs, before, clock.now(), report);
            }
        }
        Err(error) => report.refusal("redis", &Refusal::from(&error)),
    }
    let queue = match Queue::connect(url, namespace).await {
        Ok(queue) => queue,
        Err(error) => return report.refusal("redis", &Refusal::from(&error)),
    };
    match health::check_redis(&client, namespace, &queue).await {
        Ok(()) => report.fine("redis", "accepts writes"),
        Err(refusal) => report.refusal("redis", &refusal),
    }
    match depths(&queue).await {
        Ok(depths) => report.fine("redis", format!("wake-ups in the queue: {depths}")),
        Err(error) => report.refusal("redis", &Refusal::from(&error)),
    }
}

/// Redis' own account of itself (`INFO`), which managed services show where they forbid `CONFIG`.
async fn account_of(client: &Client) -> Result<String, fred::error::Error> {
    let mut account = String::new();
    for part in [InfoKind::Server, InfoKind::Persistence, InfoKind::Memory] {
        let part: String = client.info(Some(part)).await?;
        account += &part;
    }
    Ok(account)
}

fn fact<'a>(account: &'a str, name: &str) -> &'a str {
    account
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map_or("", str::trim)
}

async fn depths(queue: &Queue) -> Result<String, QueueError> {
    let mut depths = Vec::new();
    for priority in Priority::ALL {
        let depth = queue.depth(priority).await?;
        depths.push(format!("{depth} {}", priority.as_str()));
    }
    Ok(depths.join(", "))
}

fn judge_redis(info: &str, report: &mut Report) {
    let version = fact(info, "redis_version");
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST_REDIS {
        let seen = format!("version {version:?}");
        report.note("redis", Severity::Failure, seen, "use Redis 6.2 or newer");
    } else {
        report.fine("redis", format!("version {version}"));
    }
    if fact(info, "aof_enabled") == "1" {
        report.fine("redis", "append-only file on");
    } else {
        report.note(
            "redis",
            Severity::Warning,
            "append-only file off: a restart forgets codes and limits; no mail is lost",
            "redis-cli config set appendonly yes, and appendonly yes in its configuration",
        );
    }
    match fact(info, "maxmemory_policy") {
        "noeviction" => report.fine("redis", "never evicts"),
        policy => report.note(
            "redis",
            Severity::Warning,
            format!("evicts when memory is short (maxmemory-policy {policy:?}): limits and codes may vanish"),
            "redis-cli config set maxmemory-policy noeviction, and the same in its configuration",
        ),
    }
}

async fn look_at_database(config: &Config, clock: &Clock, report: &mut Report) {
    let remedy = "start it, or correct DATABASE_URL";
    let db = match database::connect(config.common.database_url.as_str()).await {
        Ok(db) => db,
        Err(error) => return report.note("database", Severity::Failure, error, remedy),
    };
    let kind = match db.get_database_backend() {
        DbBackend::Postgres => "PostgreSQL",
        _ => "SQLite",
    };
    match service::check_schema(&db).await {
        Ok(()) => report.fine("database", format!("{kind}, every migration applied")),
        Err(StartError::Schema(missing)) => {
            let seen = format!("{kind}, {missing} migration(s) missing");
            return report.note(
                "database",
                Severity::Failure,
                seen,
                "run latchkey-api migrate",
            );
        }
        Err(error) => return report.note("database", Severity::Failure, error, remedy),
    }
    match health::check_database(&db).await {
        Ok(()) => report.fine("database", "accepts writes"),
        Err(refusal) => report.refusal("database", &refusal),
    }
    let before = clock.now();
    match time_of(&db).await {
        Ok(theirs) => judge_clock(kind, theirs, before, clock.now(), report),
        Err(error) => report.note("database", Severity::Failure, error, remedy),
    }
    look_at_deliveries(&db, clock.now(), report).await;
    match mail::oldest_queued(&db).await {
        Ok(None) => report.fine("database", "no mail waits"),
        Ok(Some(since)) => {
            let age = clock.now() - since;
            let seen = format!("the oldest mail has waited for {} s", age.num_seconds());
            if age > LATE {
                let remedy =
                    "latchkey-worker mails list --state queued says why; is a worker running?";
                report.note("database", Severity::Warning, seen, remedy);
            } else {
                report.fine("database", seen);
            }
        }
        Err(error) => report.note("database", Severity::Failure, error, remedy),
    }
}

/// What the attempts of all workers tell.
async fn look_at_deliveries(db: &Database, now: DateTime<Utc>, report: &mut Report) {
    match delivery_health::check(db, now).await {
        Ok(DeliveryHealth::Failing(problem)) => {
            let seen = format!(
                "mails are not accepted; last at {}: {}",
                problem.failed_at.format("%Y-%m-%d %H:%M:%S UTC"),
                problem.message
            );
            report.note("smtp", Severity::Failure, seen, remedy(problem.cause));
        }
        Ok(DeliveryHealth::Accepted(at)) => {
            let at = at.format("%Y-%m-%d %H:%M:%S UTC");
            report.fine("smtp", format!("accepted the last mail at {at}"));
        }
        Ok(DeliveryHealth::OneRefused | DeliveryHealth::Idle) => {}
        Err(error) => report.note(
            "database",
            Severity::Failure,
            error,
            "start it, or correct DATABASE_URL",
        ),
    }
}

fn remedy(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Connection => {
            "check host, port and tls= in SMTP_URL, SMTP_EHLO_NAME, and the server; every worker has to reach it"
        }
        FailureCause::Authentication => "correct user and password in the SMTP_URL of every worker",
        FailureCause::Sender => {
            "let the server accept MAIL_FROM from this login and address, or change MAIL_FROM"
        }
        FailureCause::Recipient | FailureCause::Refusal => {
            "let the server relay for the workers; check SMTP_EHLO_NAME, and SPF and DKIM of the domain of MAIL_FROM"
        }
    }
}

async fn time_of(db: &Database) -> Result<DateTime<Utc>, DbErr> {
    let milliseconds = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        }
        _ => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    };
    let row = db
        .query_one_raw(Statement::from_string(
            db.get_database_backend(),
            format!("{milliseconds} AS now"),
        ))
        .await?;
    let now: i64 = match row {
        Some(row) => row.try_get("", "now")?,
        None => 0,
    };
    Ok(DateTime::from_timestamp_millis(now).unwrap_or_default())
}

/// Their time lies between the question and the answer, or their clock goes wrong, or ours does.
fn judge_clock(
    whose: &str,
    theirs: DateTime<Utc>,
    before: DateTime<Utc>,
    after: DateTime<Utc>,
    report: &mut Report,
) {
    let apart = Ord::max(before - theirs, theirs - after);
    if apart > SKEW {
        report.note(
            "clock",
            Severity::Warning,
            format!("{} s apart from the clock of {whose}", apart.num_seconds()),
            "let both machines keep time by NTP (timedatectl set-ntp true); until then the programs go by Redis",
        );
    } else {
        report.fine("clock", format!("agrees with {whose}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(report: &Report) -> Vec<(&'static str, Severity)> {
        let bad = report.0.iter().filter(|it| it.grade != Severity::Ok);
        bad.map(|it| (it.subject, it.grade)).collect()
    }

    #[test]
    fn redis_is_judged_by_its_age_its_persistence_and_its_policy() {
        let good = "redis_version:7.0.15\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n";
        for (info, expected) in [
            (good.to_owned(), vec![]),
            (good.replace("7.0.15", "6.2.0"), vec![]),
            (
                good.replace("7.0.15", "6.0.20"),
                vec![("redis", Severity::Failure)],
            ),
            (
                good.replace("enabled:1", "enabled:0"),
                vec![("redis", Severity::Warning)],
            ),
            (
                good.replace("noeviction", "allkeys-lru"),
                vec![("redis", Severity::Warning)],
            ),
        ] {
            let mut report = Report::default();
            judge_redis(&info, &mut report);
            assert_eq!(warnings(&report), expected, "{info}");
        }
    }

    #[test]
    fn a_clock_that_is_off_either_way_is_worth_a_warning() {
        let now = Clock::fixed().now();
        for (theirs, warned) in [(0, false), (2, false), (-2, false), (3, true), (-3, true)] {
            let mut report = Report::default();
            let theirs = now + TimeDelta::seconds(theirs);
            judge_clock("Redis", theirs, now, now, &mut report);
            assert_eq!(!warnings(&report).is_empty(), warned, "{theirs}");
        }
    }
}
