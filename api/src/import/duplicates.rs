//! Chooses between accounts of the source that have the same id, or emails with the same key: only one of them can be imported.
//!
//! The original compared emails by their bytes, so `Ada@example.com` and `ada@example.com` may be two accounts. The winner is the
//! one that is activated and active, or else the first one. Accounts are never merged. If lines of a file have the same id, the
//! first line wins.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use latchkey_shared::types::email::Email;

use crate::import::outcome::Reason;

/// The values of a row that the choice depends on.
pub(super) struct Candidate {
    /// The position of the row in its source.
    pub(super) position: i64,
    /// The id, if several rows of the source may have it.
    pub(super) own_id: Option<i64>,
    pub(super) email: String,
    pub(super) is_usable: bool,
}

/// Collects candidates. A candidate takes 24 bytes, because a hash replaces the key of its email, and some 32 bytes more if it
/// has an id of its own. With 64 bits and a million accounts, two keys have the same hash once in 37 million imports.
#[derive(Default)]
pub(super) struct Duplicates {
    seed: RandomState,
    rows: Vec<(u64, bool, i64)>,
    /// The position of the first row with each own id.
    ids: HashMap<i64, i64>,
    superseded: HashMap<i64, Superseded>,
}

/// Why a row of the source is not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superseded {
    pub(super) reason: Reason,
    /// The position of the row that is imported instead.
    pub(super) winner: i64,
}

impl Duplicates {
    /// Adds candidates. Ignores invalid emails.
    pub(super) fn add(&mut self, candidates: Vec<Candidate>) {
        for candidate in candidates {
            if let Some(id) = candidate.own_id {
                let winner = *self.ids.entry(id).or_insert(candidate.position);
                if winner != candidate.position {
                    let reason = Reason::IdTaken;
                    self.superseded
                        .insert(candidate.position, Superseded { reason, winner });
                    // A row that is never imported does not compete for an email.
                    continue;
                }
            }
            if let Ok(email) = candidate.email.parse::<Email>() {
                let hash = self.seed.hash_one(email.key().as_str());
                self.rows
                    .push((hash, !candidate.is_usable, candidate.position));
            }
        }
    }

    /// Returns the superseded by their positions.
    pub(super) fn superseded(mut self) -> HashMap<i64, Superseded> {
        self.rows.sort_unstable();
        let emails = self.rows.chunk_by(|a, b| a.0 == b.0);
        let emails = emails.flat_map(|duplicates| {
            let (winner, reason) = (duplicates[0].2, Reason::EmailTaken);
            let loser =
                move |(_, _, position): &(_, _, i64)| (*position, Superseded { reason, winner });
            duplicates[1..].iter().map(loser)
        });
        self.superseded.extend(emails);
        self.superseded
    }
}
