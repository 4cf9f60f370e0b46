//! The states of signing keys, computed from times: which key signs, and when a new one is due. `api/src/auth/jwt/signing_keys.rs`
//! creates and deletes the keys.

use chrono::{DateTime, TimeDelta, Utc};

use crate::models::signing_key::{Model, REVOKED_RETENTION, SigningAlgorithm};

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published and accepted; signs later.
    Standby,
    /// Signs.
    Active,
    /// Published and accepted, but a newer key signs.
    Retired,
    /// Neither published nor accepted, because its last token has expired.
    Gone,
    /// Neither published nor accepted, because an operator revoked it.
    Revoked,
}

impl KeyState {
    /// Returns the name for operators.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Gone => "gone",
            Self::Revoked => "revoked",
        }
    }

    /// Returns whether tokens of the key are accepted, and whether it is in the JWKS.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Standby | Self::Active | Self::Retired)
    }
}

/// The times that decide the states of keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySchedule {
    /// `ACCESS_TOKEN_SECONDS`: the lifetime of the signed tokens.
    pub access_token: TimeDelta,
    /// `JWKS_MAX_AGE_SECONDS`: for how long other services may cache the keys.
    pub max_age: TimeDelta,
    /// `SIGNING_KEY_DAYS`: for how long a key signs.
    pub key_lifetime: TimeDelta,
}

impl KeySchedule {
    /// Returns the key that signs: the newest whose time has come. Returns `None` if that key is revoked, as an older one must not
    /// sign again. `keys` are ordered by number.
    #[must_use]
    pub fn active<'a>(&self, keys: &'a [Model], now: DateTime<Utc>) -> Option<&'a Model> {
        let newest = keys.iter().rev().find(|key| has_signed(key, now));
        newest.filter(|key| key.revoked_at.is_none())
    }

    /// Returns the state of one of the keys.
    #[must_use]
    pub fn state(&self, keys: &[Model], key: &Model, now: DateTime<Utc>) -> KeyState {
        if key.revoked_at.is_some() {
            return KeyState::Revoked;
        }
        let active = self.active(keys, now).map(|active| active.number);
        match self.accepted_until(keys, key, now) {
            _ if active == Some(key.number) => KeyState::Active,
            None => KeyState::Standby,
            Some(until) if now < until => KeyState::Retired,
            Some(_) => KeyState::Gone,
        }
    }

    /// Returns the time until which a replaced key is accepted: its last token has expired, and the caches of other services are
    /// renewed. `None` for keys that no newer key has replaced.
    #[must_use]
    pub fn accepted_until(
        &self,
        keys: &[Model],
        key: &Model,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let newer = keys.iter().filter(|it| it.number > key.number);
        let replaced = newer.filter(|it| has_signed(it, now));
        let replaced = replaced.map(|it| it.signs_from).min()?;
        Some(replaced + self.access_token + self.max_age)
    }

    /// Returns the time from which a new key has to sign, or `None` if none is due.
    #[must_use]
    pub fn due(
        &self,
        keys: &[Model],
        algorithm: SigningAlgorithm,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let Some(active) = self.active(keys, now) else {
            return Some(now);
        };
        let is_standby = |key: &Model| key.number > active.number && key.revoked_at.is_none();
        if keys.iter().any(is_standby) {
            return None;
        }
        let expires = active.signs_from + self.key_lifetime - self.publication();
        let is_due = active.algorithm != algorithm.as_str() || expires <= now;
        is_due.then(|| now + self.publication())
    }

    /// Returns for how long a key is published before it signs.
    #[must_use]
    pub fn publication(&self) -> TimeDelta {
        self.max_age * 2
    }

    /// Returns the numbers of the keys that can be deleted.
    #[must_use]
    pub fn deletable(&self, keys: &[Model], now: DateTime<Utc>) -> Vec<i64> {
        let is_deletable = |key: &&Model| match key.revoked_at {
            Some(at) => at + REVOKED_RETENTION <= now,
            None => self.state(keys, key, now) == KeyState::Gone,
        };
        keys.iter()
            .filter(is_deletable)
            .map(|key| key.number)
            .collect()
    }
}

/// Returns whether a key signs or has signed. One that was revoked before its time never has.
fn has_signed(key: &Model, now: DateTime<Utc>) -> bool {
    key.signs_from <= now && key.revoked_at.is_none_or(|at| at >= key.signs_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: KeySchedule = KeySchedule {
        access_token: TimeDelta::seconds(300),
        max_age: TimeDelta::seconds(100),
        key_lifetime: TimeDelta::seconds(10_000),
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// Creates keys of ES256, each with the time from which it signs and the time of its revocation.
    fn keys(times: &[(i64, Option<i64>)]) -> Vec<Model> {
        let key = |(number, (signs_from, revoked)): (i64, &(i64, Option<i64>))| Model {
            number,
            kid: number.to_string(),
            algorithm: "ES256".to_owned(),
            public_key: Vec::new(),
            sealed_private_key: Vec::new(),
            created_at: at(0),
            signs_from: at(*signs_from),
            revoked_at: revoked.map(at),
        };
        (1..).zip(times).map(key).collect()
    }

    /// Asserts the states of keys at several times, each as the initials of the states.
    #[track_caller]
    fn assert_states(times: &[(i64, Option<i64>)], expected: &[(i64, &str)]) {
        let keys = keys(times);
        for (now, expected) in expected {
            let initial = |key: &Model| match SCHEDULE.state(&keys, key, at(*now)) {
                KeyState::Standby => 's',
                KeyState::Active => 'A',
                KeyState::Retired => 'r',
                KeyState::Gone => '-',
                KeyState::Revoked => 'x',
            };
            let states: String = keys.iter().map(initial).collect();
            assert_eq!(states, *expected, "{times:?} at {now}");
        }
    }

    /// A retired key is accepted for the lifetime of its last token and the caches after it: 400 seconds here.
    #[test]
    fn key_states_follow_from_times() {
        assert_states(&[(0, None)], &[(-1, "s"), (0, "A"), (99_999, "A")]);
        assert_states(
            &[(0, None), (1000, None)],
            &[(999, "As"), (1000, "rA"), (1399, "rA"), (1400, "-A")],
        );
        assert_states(
            &[(0, None), (1000, None), (1200, None)],
            &[(1199, "rAs"), (1200, "rrA"), (1400, "-rA"), (1600, "--A")],
        );
    }

    #[test]
    fn revoked_key_states_follow_from_times() {
        // Revoked while it signed, and replaced at once.
        assert_states(
            &[(0, None), (1000, Some(1100)), (1100, None)],
            &[(1100, "rxA"), (1399, "rxA"), (1400, "-xA")],
        );
        // Not replaced yet: the previous key does not sign again.
        assert_states(
            &[(0, None), (1000, Some(1000))],
            &[(999, "Ax"), (1000, "rx")],
        );
        // Revoked before its time: the previous key signs on.
        assert_states(
            &[(0, None), (1000, Some(900)), (2000, None)],
            &[
                (1000, "Axs"),
                (1999, "Axs"),
                (2000, "rxA"),
                (2399, "rxA"),
                (2400, "-xA"),
            ],
        );
        // A newer key signs before the standby key, which then never signs.
        assert_states(
            &[(0, None), (1000, None), (800, None)],
            &[(799, "Ass"), (800, "rrA"), (1000, "rrA"), (1200, "--A")],
        );
        assert_states(&[(0, Some(5))], &[(0, "x"), (10, "x")]);
    }

    #[test]
    fn next_key_is_due_once_before_the_active_one_ends() {
        let due = |times: &[(i64, Option<i64>)], now, algorithm| {
            SCHEDULE.due(&keys(times), algorithm, at(now))
        };
        for (times, now, expected) in [
            // No key can sign.
            (&[][..], 50, Some(50)),
            (&[(0, Some(10))], 50, Some(50)),
            (&[(0, Some(10)), (100, None)], 50, Some(50)),
            // The active key ends at 10,000; the next one is published 200 seconds before.
            (&[(0, None)], 9_799, None),
            (&[(0, None)], 9_800, Some(10_000)),
            (&[(0, None)], 12_000, Some(12_200)),
            (&[(0, None), (10_000, None)], 9_900, None),
            (&[(0, None), (10_000, Some(9_850))], 9_900, Some(10_100)),
            (&[(0, None), (10_000, None)], 10_000, None),
        ] {
            let found = due(times, now, SigningAlgorithm::Es256);
            assert_eq!(found, expected.map(at), "{times:?} at {now}");
        }
        // Another algorithm, but only one standby key at a time.
        let other = SigningAlgorithm::EdDsa;
        assert_eq!(due(&[(0, None)], 50, other), Some(at(250)));
        assert_eq!(due(&[(0, None), (250, None)], 60, other), None);
    }

    #[test]
    fn keys_are_deleted_when_gone_or_long_revoked() {
        let all = keys(&[(0, None), (1000, Some(1100)), (1100, None)]);
        let month = REVOKED_RETENTION.num_seconds();
        for (now, expected) in [
            (1399, vec![]),
            (1400, vec![1]),
            (1099 + month, vec![1]),
            (1100 + month, vec![1, 2]),
        ] {
            assert_eq!(SCHEDULE.deletable(&all, at(now)), expected, "{now}");
        }
    }
}
