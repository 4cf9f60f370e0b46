//! Measures the offset of the machine's clock to the clock of Redis (`TIME`).
//!
//! A measurement takes several samples and uses the one with the shortest round trip, because its error is at most half of the
//! round trip: tens of milliseconds on any network suitable for Redis.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::TimeDelta;
use fred::{
    clients::Client,
    error::Error,
    interfaces::ClientLike as _,
    types::{ClusterHash, CustomCommand},
};
use tokio::time::{Instant, sleep};

use crate::clock::{Clock, Source, System};

/// The interval of measurements. A quartz clock drifts by some 3 ms in this time.
const PERIOD: Duration = Duration::from_secs(30);
/// The interval of attempts until the first measurement, as Redis may fail at the start.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// The number of samples of a measurement.
const SAMPLES: usize = 5;
/// The longest useful round trip. A measurement with longer ones only is discarded.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(200);
/// The offset above which a measurement logs a warning: the machine should use NTP.
const NOTABLE: TimeDelta = TimeDelta::seconds(1);

/// The largest offset that corrects the clock. A larger one comes from a wrong clock, of either machine. Following a wrong Redis would
/// make expired codes, tokens and sessions valid again, or end valid ones.
pub const MAX_OFFSET: TimeDelta = TimeDelta::minutes(10);

/// The result of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The time of Redis minus the machine's.
    pub offset: TimeDelta,
    /// The round trip of the best sample. The error of the offset is at most half of it.
    pub round_trip: Duration,
}

impl Clock {
    /// Corrects the clock by the time of Redis, now and every 30 seconds. While Redis does not respond, or differs by more than
    /// [`MAX_OFFSET`], the last offset stays. Has no effect on a fixed clock.
    pub async fn follow(&self, redis: &Client) {
        let mut is_measured = self.synchronize(redis).await;
        let (clock, redis) = (self.clone(), redis.clone());
        tokio::spawn(async move {
            loop {
                sleep(if is_measured { PERIOD } else { RETRY_PERIOD }).await;
                is_measured |= clock.synchronize(&redis).await;
            }
        });
    }

    /// Measures the offset and applies it. Returns whether Redis has answered.
    async fn synchronize(&self, redis: &Client) -> bool {
        let Source::System(system) = &self.0 else {
            return true;
        };
        let measured = measure(system, redis).await;
        let has_answered = measured.is_ok();
        match measured {
            Ok(Some(measured)) => apply(system, measured),
            Ok(None) => tracing::debug!("Redis answered too slowly to measure the clock's offset"),
            Err(error) => {
                tracing::debug!(%error, "Clock offset not measured; the last one stays in use");
            }
        }
        has_answered
    }

    /// Measures the offset to the clock of Redis. `None` if all round trips were too long, and for a fixed clock.
    pub async fn measure(&self, redis: &Client) -> Result<Option<Measurement>, Error> {
        match &self.0 {
            Source::System(system) => measure(system, redis).await,
            Source::Fixed(_) => Ok(None),
        }
    }
}

fn apply(system: &System, measured: Measurement) {
    let Measurement { offset, .. } = measured;
    let is_rejected = offset.abs() > MAX_OFFSET;
    let was_rejected = system.rejects_redis.swap(is_rejected, Ordering::Relaxed);
    let offset_ms = offset.num_milliseconds();
    if is_rejected {
        if !was_rejected {
            tracing::error!(
                clock.offset_ms = offset_ms,
                "The clock of Redis differs from the machine's by more than 10 minutes. This program does not follow it and keeps \
                 its last correction. Synchronize both machines by NTP"
            );
        }
        return;
    }
    let micros = offset.num_microseconds().unwrap_or(0);
    let before = TimeDelta::microseconds(system.offset.swap(micros, Ordering::Relaxed));
    match notice(before, offset) {
        Some(Notice::Differs) => tracing::warn!(
            clock.offset_ms = offset_ms,
            "The machine's clock differs from that of Redis, which this program uses. Synchronize both machines by NTP"
        ),
        Some(Notice::Agrees) => {
            tracing::info!(
                clock.offset_ms = offset_ms,
                "The machine's clock agrees with that of Redis again"
            );
        }
        None if was_rejected => {
            tracing::info!(
                clock.offset_ms = offset_ms,
                "The clock of Redis is followed again"
            );
        }
        None => {}
    }
}

/// What the log says about a changed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    Differs,
    Agrees,
}

/// Returns what to log about a change of the offset. `None` for small changes.
fn notice(before: TimeDelta, after: TimeDelta) -> Option<Notice> {
    if (after - before).abs() <= NOTABLE {
        None
    } else if after.abs() > NOTABLE {
        Some(Notice::Differs)
    } else {
        Some(Notice::Agrees)
    }
}

async fn measure(system: &System, redis: &Client) -> Result<Option<Measurement>, Error> {
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        samples.push(sample(system, redis).await?);
    }
    Ok(best(&samples))
}

async fn sample(system: &System, redis: &Client) -> Result<Measurement, Error> {
    let (before, asked) = (system.uncorrected(), Instant::now());
    let command = CustomCommand::new_static("TIME", ClusterHash::FirstKey, false);
    let (seconds, micros): (i64, i64) = redis.custom(command, Vec::<String>::new()).await?;
    let round_trip = asked.elapsed();
    let midpoint = before + i64::try_from(round_trip.as_micros() / 2).unwrap_or(i64::MAX / 2);
    let redis = seconds.saturating_mul(1_000_000).saturating_add(micros);
    Ok(Measurement {
        offset: TimeDelta::microseconds(redis.saturating_sub(midpoint)),
        round_trip,
    })
}

/// Returns the sample with the shortest round trip, unless that is too long.
fn best(samples: &[Measurement]) -> Option<Measurement> {
    samples
        .iter()
        .min_by_key(|sample| sample.round_trip)
        .filter(|sample| sample.round_trip <= MAX_ROUND_TRIP)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(offset_and_round_trip: &[(i64, u64)]) -> Vec<Measurement> {
        offset_and_round_trip
            .iter()
            .map(|(offset, round_trip)| Measurement {
                offset: TimeDelta::milliseconds(*offset),
                round_trip: Duration::from_millis(*round_trip),
            })
            .collect()
    }

    #[test]
    fn offset_samples_differ_shortest_round_trip_counts() {
        let best = best(&samples(&[(90, 180), (6_000, 2), (-40, 90)]));

        assert_eq!(best.unwrap().offset, TimeDelta::seconds(6));
    }

    #[test]
    fn offset_change_warns_only_if_clocks_differ() {
        for (before, after, expected) in [
            (0, 0, None),
            (0, 900, None),
            (0, 5_000, Some(Notice::Differs)),
            (5_000, 5_500, None),
            (5_000, -5_000, Some(Notice::Differs)),
            (5_000, 0, Some(Notice::Agrees)),
            (-5_000, 800, Some(Notice::Agrees)),
        ] {
            let (before, after) = (
                TimeDelta::milliseconds(before),
                TimeDelta::milliseconds(after),
            );
            assert_eq!(notice(before, after), expected, "{before} {after}");
        }
    }

    #[test]
    fn offset_over_ten_minutes_keeps_the_last_one() {
        let system = System::default();
        for (seconds, applied, rejected) in [
            (600, 600, false),
            (601, 600, true),
            (-601, 600, true),
            (-600, -600, false),
            (1_800_000_000, -600, true),
            (i64::MAX / 1_000_000, -600, true),
            (0, 0, false),
        ] {
            apply(
                &system,
                Measurement {
                    offset: TimeDelta::seconds(seconds),
                    round_trip: Duration::ZERO,
                },
            );
            let offset = system.offset.load(Ordering::Relaxed);
            assert_eq!(offset, applied * 1_000_000, "{seconds}");
            assert_eq!(
                system.rejects_redis.load(Ordering::Relaxed),
                rejected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn offset_samples_all_slow_last_offset_stays() {
        assert_eq!(best(&samples(&[(90, 300), (80, 250)])), None);
        assert_eq!(best(&[]), None);
    }
}
