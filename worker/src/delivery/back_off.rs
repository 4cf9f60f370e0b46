//! The back-off between two attempts to deliver a mail.

use chrono::TimeDelta;

/// The longest wait between two attempts.
const MAX_WAIT: TimeDelta = TimeDelta::minutes(5);

/// Returns how long to wait after `attempts` attempts: a second, doubled each time, five minutes at most.
///
/// `random`, from 0 to 1, selects a point between half of that and all of it, so that mails that failed together are not
/// tried again together.
#[must_use]
pub fn back_off(attempts: i32, random: f64) -> TimeDelta {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(20);
    let longest = Ord::min(TimeDelta::seconds(1 << doublings), MAX_WAIT);
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
    fn back_off_doubles_up_to_five_minutes() {
        for (attempts, seconds) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)] {
            let longest = TimeDelta::seconds(seconds);
            assert_eq!(back_off(attempts, 1.0), longest, "{attempts}");
            assert_eq!(back_off(attempts, 0.0), longest / 2, "{attempts}");
        }
        assert!(back_off(0, 0.5) > TimeDelta::zero());
    }
}
