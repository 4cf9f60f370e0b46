//! `SMTP_MAX_PER_SECOND`: no more mails than that are handed over in a second, by all workers together.
//!
//! Redis keeps the moment of the next turn. A code takes the next turn there is, however far off; a notice takes only a
//! turn that is due, and asks again otherwise, so codes pass every notice that waits.

use std::time::Duration;

use fred::{clients::Client, error::Error, types::scripts::Script};
use latchkey_shared::models::mail::Priority;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Answers with the microseconds until the turn; negative when none was given, and then how soon to ask again.
const SCRIPT: &str = r"
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
local turn = math.max(tonumber(redis.call('get', KEYS[1]) or 0), now)
local wait = turn - now
if wait > 0 and ARGV[2] == 'normal' then return -wait end
redis.call('set', KEYS[1], string.format('%.0f', turn + ARGV[1]), 'px', math.ceil((wait + ARGV[1]) / 1000))
return wait
";

/// Keeps the pace.
pub struct SmtpRateLimiter {
    redis: Client,
    key: String,
    script: Script,
    interval: Duration,
}

/// What came of waiting for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateDecision {
    /// It is there.
    Now,
    /// The worker stops; somebody else will have it.
    Stopped,
}

impl SmtpRateLimiter {
    /// So many a second, for all workers in a namespace.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, per_second: u32) -> Self {
        Self {
            redis,
            key: format!("{namespace}:smtp-turn"),
            script: Script::from_lua(SCRIPT),
            interval: Duration::from_secs(1) / per_second,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn turn(
        &self,
        priority: Priority,
        stop: &CancellationToken,
    ) -> Result<RateDecision, Error> {
        loop {
            let wait = self.ask(priority).await?;
            let pause = sleep(Duration::from_micros(wait.unsigned_abs()));
            tokio::select! {
                biased;
                () = stop.cancelled(), if wait != 0 => return Ok(RateDecision::Stopped),
                () = pause => {}
            }
            if wait >= 0 {
                return Ok(RateDecision::Now);
            }
        }
    }

    async fn ask(&self, priority: Priority) -> Result<i64, Error> {
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
