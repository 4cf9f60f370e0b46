//! Where time comes from. Rules take `now` as a parameter; programs get it here.
//!
//! The programs of one installation run on several machines, whose clocks differ. Each program measures the offset of its
//! machine's clock against Redis, which all of them share, and adds it to the machine's time ([`Clock::follow`]).

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};

mod offset;

pub use crate::clock::offset::Measurement;

/// Microseconds by which the machine's time may fall behind what was already returned and be hidden by standing still.
/// A larger step back, as of a machine clock that was wrong by hours, is followed.
const MAX_STANDSTILL: i64 = 1_000_000;

/// The time of the installation, or a fixed one that a test moves forward. Clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<System>),
    /// Microseconds since the epoch.
    Fixed(Arc<AtomicI64>),
}

/// A machine's clock with its correction. All values are microseconds.
#[derive(Debug, Default)]
struct System {
    /// Added to the machine's clock, to make a test's machine wrong.
    skew: i64,
    /// Added to the machine's clock to get Redis' time.
    offset: AtomicI64,
    /// The latest time that was returned.
    latest: AtomicI64,
}

impl Clock {
    /// The clock of the machine, uncorrected until [`Clock::follow`] is called.
    #[must_use]
    pub fn system() -> Self {
        Self::system_with_skew(TimeDelta::zero())
    }

    /// The clock of a machine that is wrong by `skew`, for tests.
    #[must_use]
    pub fn system_with_skew(skew: TimeDelta) -> Self {
        Self(Source::System(Arc::new(System {
            skew: skew.num_microseconds().unwrap_or(0),
            ..System::default()
        })))
    }

    /// A clock that stands still at the machine's present time until [`Clock::advance`] moves it.
    #[must_use]
    pub fn fixed() -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(machine_micros()))))
    }

    /// Now, in UTC, to the microsecond: the resolution that PostgreSQL keeps, so that what is written reads back equal.
    /// Within a process it does not run backwards, except after a step of more than a second.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Source::System(system) => system.monotonic(),
            Source::Fixed(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// How far the machine's clock is behind the installation's time; zero until the first measurement.
    #[must_use]
    pub fn offset(&self) -> TimeDelta {
        match &self.0 {
            Source::System(system) => {
                TimeDelta::microseconds(system.offset.load(Ordering::Relaxed))
            }
            Source::Fixed(_) => TimeDelta::zero(),
        }
    }

    /// Moves a fixed clock forward; the system's clock stays as it is.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Fixed(micros) = &self.0 {
            micros.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }
}

impl System {
    /// The machine's clock, without the correction.
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

    /// Standing still for an hour would be worse than the step.
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
