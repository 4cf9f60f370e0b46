//! Times of the last rotations of a session's refresh token.

use std::{fmt, num::ParseIntError, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DeriveValueType;

/// The maximum number of times. `sessions.rotation_times` has room for as many.
const MAX_TIMES: usize = 16;

/// When the last refresh tokens of a session were replaced, newest first. Stored as microseconds of Unix time, separated by blanks.
///
/// The tokens themselves need no record: each token derives from the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct RotationTimes(Vec<DateTime<Utc>>);

impl RotationTimes {
    /// Returns the times with that of a rotation at `now`, without those that are `window` or longer ago.
    #[must_use]
    pub fn with(&self, now: DateTime<Utc>, window: TimeDelta) -> Self {
        let recent = self.0.iter().copied().filter(|time| now < *time + window);
        let times = std::iter::once(now).chain(recent);
        Self(times.take(MAX_TIMES).collect())
    }

    /// Returns the times, newest first.
    #[must_use]
    pub fn as_slice(&self) -> &[DateTime<Utc>] {
        &self.0
    }
}

impl fmt::Display for RotationTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = self
            .0
            .iter()
            .map(|time| time.timestamp_micros().to_string());
        f.write_str(&times.collect::<Vec<_>>().join(" "))
    }
}

/// Reads the stored text.
impl FromStr for RotationTimes {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let micros = text.split_whitespace().map(str::parse);
        let times =
            micros.map(|micros| Ok(DateTime::from_timestamp_micros(micros?).unwrap_or_default()));
        times.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3
    #[test]
    fn rotation_times_keep_the_window_and_are_bounded() {
        let window = TimeDelta::seconds(10);
        let at = |millis: i64| DateTime::from_timestamp_millis(1_800_000_000_000 + millis).unwrap();
        let times = [0, 4_000, 10_000].map(at).into_iter();
        let times = times.fold(RotationTimes::default(), |all, time| all.with(time, window));
        assert_eq!(times.as_slice(), [at(10_000), at(4_000)]);
        assert_eq!(times.to_string().parse(), Ok(times));
        assert_eq!(String::new().parse(), Ok(RotationTimes::default()));
        let many = (0..100).fold(RotationTimes::default(), |all, time| {
            all.with(at(time), window)
        });
        assert_eq!(many.as_slice().len(), MAX_TIMES);
        assert_eq!(many.as_slice()[0], at(99));
        assert!(many.to_string().len() < 300, "{many}");
        assert!("x".parse::<RotationTimes>().is_err());
    }
}
