//! The dearest hash of each function that accounts still have, so that every failed login costs the same.

use std::time::{Duration, Instant};

use latchkey_shared::{database::Database, models::user::old_hash};
use prometheus::IntGauge;
use sea_orm::DbErr;
use tokio::sync::Mutex;

use super::{DjangoHash, scheme::FUNCTIONS, scheme::Scheme};

/// How long a look-up is used. An import is noticed that late, except for accounts that log in.
const MAX_AGE: Duration = Duration::from_mins(1);

/// Maximum number of costs that a look-up reads of one kind of hash. Each is a query by index.
const MAX_COSTS_PER_KIND: u32 = 16;

/// The dearest hash of each function. `None`: no account has one.
#[derive(Clone, Debug, Default)]
pub struct Dearest([Option<Scheme>; FUNCTIONS.len()]);

impl Dearest {
    /// Includes a hash.
    fn add(&mut self, scheme: &Scheme) {
        let dearest = &mut self.0[scheme.function()];
        if dearest
            .as_ref()
            .is_none_or(|dearest| dearest.work() < scheme.work())
        {
            *dearest = Some(scheme.clone());
        }
    }

    /// Returns the computations that make a verification of `done` as costly as that of any other hash.
    pub(in crate::passwords) fn remainder(&self, done: Option<&Scheme>) -> Vec<Scheme> {
        let of_function = |dearest: &Scheme| match done {
            Some(done) if done.function() == dearest.function() => dearest.remainder(done),
            _ => vec![dearest.clone()],
        };
        self.0.iter().flatten().flat_map(of_function).collect()
    }

    /// Returns the costs of the functions that `present` has, too. Those that only a login has found stay.
    fn merged_into(&self, mut present: Self) -> Self {
        for scheme in self.0.iter().flatten() {
            if present.0[scheme.function()].is_some() {
                present.add(scheme);
            }
        }
        present
    }
}

/// Looks up the dearest hashes.
pub struct OldHashes {
    found: Mutex<Option<(Instant, Dearest)>>,
    functions: IntGauge,
}

impl OldHashes {
    /// Creates a look-up. `functions` shows the number of functions that are present.
    #[must_use]
    pub fn new(functions: IntGauge) -> Self {
        Self {
            found: Mutex::default(),
            functions,
        }
    }

    /// Returns the dearest hashes, including `stored`. Reads the database at most once a minute.
    pub async fn dearest(&self, db: &Database, stored: Option<&str>) -> Result<Dearest, DbErr> {
        // Locked during the look-up, so that concurrent logins wait for one.
        let mut last = self.found.lock().await;
        let (at, known) = last.take().unzip();
        let is_current = at.is_some_and(|at: Instant| at.elapsed() < MAX_AGE);
        let known = known.unwrap_or_default();
        let (at, mut dearest) = match at {
            Some(at) if is_current => (at, known),
            _ => (Instant::now(), known.merged_into(look_up(db).await?)),
        };
        if let Some(Ok(own)) = stored.map(DjangoHash::parse) {
            dearest.add(&own.scheme);
        }
        let count = dearest.0.iter().flatten().count();
        self.functions.set(i64::try_from(count).unwrap_or_default());
        *last = Some((at, dearest.clone()));
        Ok(dearest)
    }
}

/// Reads one hash of each cost, up to [`MAX_COSTS_PER_KIND`].
async fn look_up(db: &Database) -> Result<Dearest, DbErr> {
    let mut dearest = Dearest::default();
    let (mut kind, mut count) = (String::new(), 0);
    let mut next = old_hash::first(db).await?;
    while let Some(hash) = next {
        if let Ok(hash) = DjangoHash::parse(&hash) {
            dearest.add(&hash.scheme);
        }
        let same_kind = prefix(&hash, 1).to_owned();
        count = if same_kind == kind { count + 1 } else { 1 };
        kind = same_kind;
        let read = if count < MAX_COSTS_PER_KIND {
            cost_prefix(&hash)
        } else {
            &kind
        };
        next = old_hash::first_after(db, read).await?;
    }
    Ok(dearest)
}

/// Returns the part of a hash before its salt. The cost of scrypt is partly behind its salt: a look-up reads one hash of each N.
fn cost_prefix(hash: &str) -> &str {
    match hash.split('$').next() {
        Some("argon2" | "bcrypt" | "bcrypt_sha256") => prefix(hash, 4),
        _ => prefix(hash, 2),
    }
}

/// Returns the first fields of a hash, with the `$` behind each.
fn prefix(hash: &str, fields: usize) -> &str {
    let end = hash.match_indices('$').nth(fields - 1);
    end.map_or(hash, |(end, _)| &hash[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passwords::django::tests::HASHES;

    fn scheme(text: &str) -> Scheme {
        DjangoHash::parse(text).unwrap().scheme
    }

    fn argon2(params: &str) -> String {
        let digest = "BWHe8J+B7+ap9TDZu4f1spzhQg0nxpkUlLMkJdS5wI4";
        format!("argon2$argon2id$v=19${params}$c2FsdHNhbHRzYWx0${digest}")
    }

    /// N2
    #[test]
    fn every_hash_costs_as_much_as_the_dearest() {
        let mut hashes: Vec<_> = HASHES.iter().map(|(_, hash)| (*hash).to_owned()).collect();
        hashes.push(HASHES[0].1.replace("$1$", "$1200000$"));
        hashes.push(HASHES[4].1.replace("$8$5$", "$8$1$"));
        hashes.push(HASHES[4].1.replace("$16384$", "$1024$"));
        hashes.push(HASHES[7].1.replace("$12$", "$09$"));
        hashes.push(argon2("m=65536,t=3,p=4"));
        hashes.push(argon2("m=8,t=1,p=1"));
        let schemes: Vec<_> = hashes.iter().map(|hash| scheme(hash)).collect();
        let mut dearest = Dearest::default();
        for scheme in &schemes {
            dearest.add(scheme);
        }
        let work = |done: Option<&Scheme>| {
            let mut work = [0; FUNCTIONS.len()];
            for scheme in dearest.remainder(done).iter().chain(done) {
                work[scheme.function()] += scheme.work();
            }
            work
        };
        let unknown = work(None);
        assert_eq!(unknown, [1_200_000, 870_000, 655_360, 204_800, 4_096]);
        for scheme in &schemes {
            let own = work(Some(scheme));
            for (own, unknown) in own.iter().zip(unknown) {
                assert!(own.abs_diff(unknown) * 100 <= unknown, "{scheme:?}: {own}");
            }
        }
    }

    #[test]
    fn without_old_hashes_nothing_is_added() {
        assert!(Dearest::default().remainder(None).is_empty());
        let own = scheme(HASHES[0].1);
        assert!(Dearest::default().remainder(Some(&own)).is_empty());
    }

    #[test]
    fn prefix_of_a_hash_has_its_cost_and_no_salt() {
        for (hash, prefix) in [
            (HASHES[0].1, "pbkdf2_sha256$1$"),
            (HASHES[4].1, "scrypt$16384$"),
            (HASHES[5].1, "argon2$argon2id$v=19$m=102400,t=2,p=8$"),
            (HASHES[6].1, "bcrypt_sha256$$2b$12$"),
            ("torn", "torn"),
        ] {
            assert_eq!(cost_prefix(hash), prefix);
        }
    }
}
