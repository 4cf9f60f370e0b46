//! How long a mail waits between two tries.

use chrono::TimeDelta;

/// The longest wait between two tries.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);

/// How long to wait after so many tries: a second, doubled each time, five minutes at most; and of that a random part
/// (between a half and all, by a number from 0 to 1), so that what failed together is not tried again together.
#[must_use]
pub fn back_off(attempts: i32, random: f64) -> TimeDelta {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(20);
    let longest = Ord::min(TimeDelta::seconds(1 << doublings), LONGEST_WAIT);
    let half = longest / 2;
    #[expect(clippy::cast_possible_truncation, reason = "five minutes at most")]
    #[expect(clippy::cast_precision_loss, reason = "five minutes at most")]
    let part = (half.num_milliseconds() as f64 * random.clamp(0.0, 1.0)) as i64;
    half + TimeDelta::milliseconds(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_second_to_five_minutes_and_vary_by_half() {
        for (attempts, seconds) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)] {
            let longest = TimeDelta::seconds(seconds);
            assert_eq!(back_off(attempts, 1.0), longest, "{attempts}");
            assert_eq!(back_off(attempts, 0.0), longest / 2, "{attempts}");
        }
        assert!(back_off(0, 0.5) > TimeDelta::zero());
    }
}
