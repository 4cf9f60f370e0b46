//! Times in the arguments of commands: absolute or relative to now.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// A time, absolute or relative to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// An absolute time (RFC 3339).
    At(DateTime<Utc>),
    /// A duration before now: `90m`, `12h`, `3d`.
    Ago(TimeDelta),
}

impl Since {
    /// Returns the absolute time.
    #[must_use]
    pub fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            // Clamped to the Unix epoch: nothing here is older, and the calendars of databases begin later than chrono's.
            Self::Ago(ago) => now
                .checked_sub_signed(ago)
                .unwrap_or_default()
                .max(DateTime::UNIX_EPOCH),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        let split = text.len().saturating_sub(1);
        let ago = text
            .get(..split)
            .and_then(|count| count.parse::<u32>().ok())
            .map(i64::from);
        match (ago, text.get(split..)) {
            (Some(count), Some("m")) => Ok(Self::Ago(TimeDelta::minutes(count))),
            (Some(count), Some("h")) => Ok(Self::Ago(TimeDelta::hours(count))),
            (Some(count), Some("d")) => Ok(Self::Ago(TimeDelta::days(count))),
            _ => Err("expected a time like 2026-11-22T10:00:00Z, or 90m, 12h, 3d".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_accepts_times_and_durations_only() {
        let at = "2026-11-22T10:00:00Z".parse::<Since>().unwrap();
        let now = "2026-11-23T10:00:00Z".parse::<DateTime<Utc>>().unwrap();
        assert_eq!(now - at.before(now), TimeDelta::days(1));
        for (text, span) in [
            ("90m", TimeDelta::minutes(90)),
            ("12h", TimeDelta::hours(12)),
            ("3d", TimeDelta::days(3)),
        ] {
            let since: Since = text.parse().unwrap();
            assert_eq!(now - since.before(now), span, "{text}");
        }
        let ages: Since = "4294967295d".parse().unwrap();
        assert_eq!(ages.before(now), DateTime::UNIX_EPOCH);
        for text in ["", "m", "-3d", "3w", "yesterday", "3é"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
