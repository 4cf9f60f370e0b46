//! Accounts of the source whose emails have the same key: only one of them can be imported.
//!
//! The original compared emails by their bytes, so `Ada@example.com` and `ada@example.com` may be two accounts. The winner is the one
//! that is activated and active, or else the one with the lowest id. Accounts are never merged.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use latchkey_shared::types::email::Email;

/// What the choice depends on.
pub(super) struct Candidate {
    pub(super) id: i64,
    pub(super) email: String,
    pub(super) is_usable: bool,
}

/// Collects candidates: 24 bytes each, because a hash stands for the key. With 64 bits and a million accounts, two keys have the same
/// hash once in 37 million imports.
#[derive(Default)]
pub(super) struct Twins {
    seed: RandomState,
    rows: Vec<(u64, bool, i64)>,
}

impl Twins {
    /// Adds candidates. Ignores invalid emails.
    pub(super) fn add(&mut self, candidates: Vec<Candidate>) {
        for candidate in candidates {
            if let Ok(email) = candidate.email.parse::<Email>() {
                let hash = self.seed.hash_one(email.key().as_str());
                self.rows.push((hash, !candidate.is_usable, candidate.id));
            }
        }
    }

    /// Returns the losers, each with its winner.
    pub(super) fn losers(mut self) -> HashMap<i64, i64> {
        self.rows.sort_unstable();
        let same_key = self.rows.chunk_by(|a, b| a.0 == b.0);
        let losers = same_key.flat_map(|twins| {
            let winner = twins[0].2;
            twins[1..].iter().map(move |(_, _, id)| (*id, winner))
        });
        losers.collect()
    }
}
