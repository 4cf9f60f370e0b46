//! Rates: limits of the form "n in any period of s seconds".

use std::{fmt, str::FromStr};

/// The expected form, for faults.
pub const EXPECTED: &str = "a count and seconds, such as 30/60";

/// A number of events in any period of some seconds. Written `30/60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of events, 1 to 100,000.
    pub count: u32,
    /// The period in seconds, 1 to 2,592,000 (30 days).
    pub seconds: u32,
}

impl Rate {
    /// Creates a rate.
    #[must_use]
    pub const fn new(count: u32, seconds: u32) -> Self {
        Self { count, seconds }
    }

    /// Returns whether this rate allows more than `factor` times what another rate allows, at once or on average.
    #[must_use]
    pub fn exceeds(self, other: Self, factor: u32) -> bool {
        let most = u64::from(other.count) * u64::from(factor);
        let in_the_long_run =
            u64::from(self.count) * u64::from(other.seconds) > most * u64::from(self.seconds);
        u64::from(self.count) > most || in_the_long_run
    }

    /// Returns the period in milliseconds.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        u64::from(self.seconds) * 1000
    }
}

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (count, seconds) = text.split_once('/').ok_or(())?;
        let (count, seconds) = (
            count.trim().parse().map_err(|_| ())?,
            seconds.trim().parse().map_err(|_| ())?,
        );
        if (1..=100_000).contains(&count) && (1..=2_592_000).contains(&seconds) {
            Ok(Self { count, seconds })
        } else {
            Err(())
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_count_and_seconds() {
        assert_eq!("30/60".parse(), Ok(Rate::new(30, 60)));
        for bad in [
            "", "30", "30/", "/60", "0/60", "30/0", "-1/60", "a/b", "30/60/1",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(()), "{bad}");
        }
    }
}
