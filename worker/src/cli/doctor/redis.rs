//! Checks Redis and its configuration.

use chrono::DateTime;
use fred::{clients::Client, interfaces::ClientLike as _, types::InfoKind};
use latchkey_shared::{
    clock::Clock,
    dependency::Refusal,
    health,
    models::mail::Priority,
    queue::{Queue, QueueError},
    redis,
};

use super::{check_clock, report::Report};
use crate::{config::Config, delivery};

/// The oldest supported version of Redis.
const MIN_VERSION: (u32, u32) = (6, 2);

/// Checks version, configuration, clock, writes and the queue.
pub(super) async fn check(config: &Config, clock: &Clock, report: &mut Report) {
    if let Err(refusal) = try_check(config, clock, report).await {
        report.refusal("redis", &refusal);
    }
}

async fn try_check(config: &Config, clock: &Clock, report: &mut Report) -> Result<(), Refusal> {
    let url = config.common.redis_url.as_str();
    let namespace = &config.common.redis_namespace;
    let client = redis::connect(url, namespace).await?;
    // During an outage the client is not connected, and the check of writes below names the reason.
    if client.is_connected() {
        check_server(&client, clock, report).await;
    }
    let queue = Queue::new(url, namespace).map_err(|error| Refusal::from(&error))?;
    let written =
        health::check_redis(&client, namespace, &queue, &delivery::fixed_keys(namespace)).await;
    match queue_depths(&queue).await {
        Ok(depths) => report.ok("redis", format!("wake-ups in the queue: {depths}")),
        Err(error) if written.is_ok() => report.refusal("redis", &Refusal::from(&error)),
        // The same reason as that of the writes.
        Err(_) => {}
    }
    written?;
    report.ok("redis", "accepts writes");
    Ok(())
}

/// Checks version, configuration and clock.
async fn check_server(client: &Client, clock: &Clock, report: &mut Report) {
    let before = clock.now();
    match info(client).await {
        Ok(info) => {
            check_info(&info, report);
            let micros = info_field(&info, "server_time_usec").parse().ok();
            if let Some(time) = micros.and_then(DateTime::from_timestamp_micros) {
                check_clock("Redis", time, before, clock.now(), report);
            }
        }
        Err(error) => report.refusal("redis", &Refusal::from(&error)),
    }
}

/// Returns the output of `INFO`, which managed services allow even where they forbid `CONFIG`.
async fn info(client: &Client) -> Result<String, fred::error::Error> {
    let mut info = String::new();
    for section in [InfoKind::Server, InfoKind::Persistence, InfoKind::Memory] {
        let section: String = client.info(Some(section)).await?;
        info += &section;
    }
    Ok(info)
}

fn info_field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map_or("", str::trim)
}

async fn queue_depths(queue: &Queue) -> Result<String, QueueError> {
    let mut depths = Vec::new();
    for priority in Priority::ALL {
        let depth = queue.depth(priority).await?;
        depths.push(format!("{depth} {}", priority.as_str()));
    }
    Ok(depths.join(", "))
}

fn check_info(info: &str, report: &mut Report) {
    let version = info_field(info, "redis_version");
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < MIN_VERSION {
        let message = format!("version {version:?}");
        report.fail("redis", message, "use Redis 6.2 or newer");
    } else {
        report.ok("redis", format!("version {version}"));
    }
    if info_field(info, "aof_enabled") == "1" {
        report.ok("redis", "append-only file on");
    } else {
        report.warn(
            "redis",
            "append-only file off: a restart loses codes and rate limits, but no mails",
            "run redis-cli config set appendonly yes, and set appendonly yes in redis.conf",
        );
    }
    match info_field(info, "maxmemory_policy") {
        "noeviction" => report.ok("redis", "maxmemory-policy noeviction"),
        policy => report.warn(
            "redis",
            format!("maxmemory-policy {policy:?}: Redis may evict rate limits and codes when memory is low"),
            "run redis-cli config set maxmemory-policy noeviction, and set it in redis.conf",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{Severity, tests::problems};

    #[test]
    fn redis_version_persistence_and_eviction_are_checked() {
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
            check_info(&info, &mut report);
            assert_eq!(problems(&report), expected, "{info}");
        }
    }
}
