//! The clock. Functions take `now` as a parameter; the programs get it here.
//!
//! The machines of an installation have different clocks. Each program measures its machine's offset against the clock of Redis,
//! which they share, and corrects its time by it ([`Clock::follow`]).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};

mod offset;

pub use crate::clock::offset::{MAX_OFFSET, Measurement};

/// The largest step back, in microseconds, that is hidden by a clock that stands still. A larger one, as of a machine clock that
/// was wrong by hours, takes effect.
const MAX_STANDSTILL: i64 = 1_000_000;

/// The time of the installation, or a fixed time that tests advance. Clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<System>),
    /// Microseconds since the epoch.
    Fixed(Arc<AtomicI64>),
}

/// The machine's clock and its correction, in microseconds.
#[derive(Debug, Default)]
struct System {
    /// An error of the machine's clock, for tests.
    skew: i64,
    /// The offset to the time of Redis.
    offset: AtomicI64,
    /// Whether the time of Redis differs too much to be used.
    rejects_redis: AtomicBool,
    /// The latest returned time.
    latest: AtomicI64,
}

impl Clock {
    /// Returns the machine's clock, uncorrected until [`Clock::follow`] is called.
    #[must_use]
    pub fn system() -> Self {
        Self::system_with_skew(TimeDelta::zero())
    }

    /// Returns the clock of a machine that is wrong by `skew`, for tests.
    #[must_use]
    pub fn system_with_skew(skew: TimeDelta) -> Self {
        Self(Source::System(Arc::new(System {
            skew: skew.num_microseconds().unwrap_or(0),
            ..System::default()
        })))
    }

    /// Returns a clock that stands still at the present time until [`Clock::advance`] is called.
    #[must_use]
    pub fn fixed() -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(machine_micros()))))
    }

    /// Returns the time in UTC, in microseconds because PostgreSQL stores no more. Never runs backwards within a process, except
    /// after a step of more than a second.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Source::System(system) => system.monotonic(),
            Source::Fixed(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Returns the offset of the machine's clock to the installation's time; zero before the first measurement.
    #[must_use]
    pub fn offset(&self) -> TimeDelta {
        match &self.0 {
            Source::System(system) => {
                TimeDelta::microseconds(system.offset.load(Ordering::Relaxed))
            }
            Source::Fixed(_) => TimeDelta::zero(),
        }
    }

    /// Returns whether the time of Redis differs by more than [`MAX_OFFSET`] from that of the machine, so that it is not used.
    #[must_use]
    pub fn rejects_redis(&self) -> bool {
        match &self.0 {
            Source::System(system) => system.rejects_redis.load(Ordering::Relaxed),
            Source::Fixed(_) => false,
        }
    }

    /// Advances a fixed clock. Has no effect on the machine's clock.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Fixed(micros) = &self.0 {
            micros.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }
}

impl System {
    /// Returns the time of the machine's clock without the correction.
    fn uncorrected(&self) -> i64 {
        machine_micros() + self.skew
    }

    fn monotonic(&self) -> i64 {
        let now = self.uncorrected() + self.offset.load(Ordering::Relaxed);
        let latest = self.latest.fetch_max(now, Ordering::Relaxed);
        if latest <= now {
            return now;
        }
        if latest - now <= MAX_STANDSTILL {
            return latest;
        }
        self.latest.store(now, Ordering::Relaxed);
        now
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the machine"
)]
fn machine_micros() -> i64 {
    Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_offset_shrinks_time_does_not_run_backwards() {
        let system = System::default();
        system.offset.store(500_000, Ordering::Relaxed);
        let before = system.monotonic();

        system.offset.store(0, Ordering::Relaxed);

        assert!(system.monotonic() >= before);
    }

    /// A clock that stands still for an hour would be worse than the step.
    #[test]
    fn clock_steps_back_by_an_hour_time_follows() {
        let system = System::default();
        let hour = 3_600_000_000;
        system.offset.store(hour, Ordering::Relaxed);
        let before = system.monotonic();

        system.offset.store(0, Ordering::Relaxed);

        assert!(system.monotonic() < before - hour / 2);
        assert!(system.monotonic() < before - hour / 2);
    }
}
