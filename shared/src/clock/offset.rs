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
/// The offset above which the first measurement logs a warning: the machine should use NTP.
const NOTABLE: TimeDelta = TimeDelta::seconds(1);

/// The result of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The time of Redis minus the machine's.
    pub offset: TimeDelta,
    /// The round trip of the best sample. The error of the offset is at most half of it.
    pub round_trip: Duration,
}

impl Clock {
    /// Corrects the clock by the time of Redis, now and every 30 seconds. While Redis does not respond, the last offset stays. Has no
    /// effect on a fixed clock.
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
    let offset = measured.offset.num_microseconds().unwrap_or(0);
    let before = system.offset.swap(offset, Ordering::Relaxed);
    if (measured.offset - TimeDelta::microseconds(before)).abs() > NOTABLE {
        tracing::warn!(
            clock.offset_ms = measured.offset.num_milliseconds(),
            "The machine's clock differs from that of Redis, which this program uses. Synchronize both machines by NTP"
        );
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
    Ok(Measurement {
        offset: TimeDelta::microseconds(seconds * 1_000_000 + micros - midpoint),
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
    fn offset_samples_all_slow_last_offset_stays() {
        assert_eq!(best(&samples(&[(90, 300), (80, 250)])), None);
        assert_eq!(best(&[]), None);
    }
}
