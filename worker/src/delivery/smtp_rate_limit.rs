//! Limits the rate of mails to the SMTP server, over all workers (`SMTP_MAX_PER_SECOND`).
//!
//! Redis stores the time of the next free turn. A code reserves that turn, however late it is. A notice takes a turn only when
//! it is due, and asks again otherwise, so that codes overtake waiting notices.

use std::time::Duration;

use fred::{clients::Client, error::Error, types::scripts::Script};
use latchkey_shared::models::mail::Priority;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Returns the microseconds until the reserved turn. A negative number means that none was reserved, and after how many
/// microseconds to ask again.
const SCRIPT: &str = r"
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
local turn = math.max(tonumber(redis.call('get', KEYS[1]) or 0), now)
local wait = turn - now
if wait > 0 and ARGV[2] == 'normal' then return -wait end
redis.call('set', KEYS[1], string.format('%.0f', turn + ARGV[1]), 'px', math.ceil((wait + ARGV[1]) / 1000))
return wait
";

/// Limits the rate of mails to the SMTP server.
pub struct SmtpRateLimiter {
    redis: Client,
    key: String,
    script: Script,
    interval: Duration,
}

/// The result of waiting for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateDecision {
    /// The mail may be sent now.
    Allowed,
    /// The worker is stopping.
    Stopped,
}

/// The key of the next free turn, in microseconds since the epoch.
pub(super) fn key(namespace: &str) -> String {
    format!("{namespace}:smtp-turn")
}

impl SmtpRateLimiter {
    /// Creates a limit of `per_second` mails for all workers of a namespace.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, per_second: u32) -> Self {
        Self {
            redis,
            key: key(namespace),
            script: Script::from_lua(SCRIPT),
            interval: Duration::from_secs(1) / per_second,
        }
    }

    /// Waits until the limit allows another mail.
    pub async fn acquire(
        &self,
        priority: Priority,
        stop: &CancellationToken,
    ) -> Result<RateDecision, Error> {
        loop {
            let wait = self.reserve(priority).await?;
            let pause = sleep(Duration::from_micros(wait.unsigned_abs()));
            tokio::select! {
                biased;
                () = stop.cancelled(), if wait != 0 => return Ok(RateDecision::Stopped),
                () = pause => {}
            }
            if wait >= 0 {
                return Ok(RateDecision::Allowed);
            }
        }
    }

    async fn reserve(&self, priority: Priority) -> Result<i64, Error> {
        let interval = i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX);
        self.script
            .evalsha_with_reload(
                &self.redis,
                vec![self.key.as_str()],
                vec![interval.to_string(), priority.as_str().to_owned()],
            )
            .await
    }
}
