//! Verification of the chain.

use std::{fmt, str::FromStr};

use sea_orm::{QueryOrder as _, QuerySelect as _, entity::prelude::*};

use crate::models::audit::{AuditKey, Column, Entity, Model, chain::HEAD_TAMPERED, details, head};

/// The number of events that are read at a time.
const BATCH_SIZE: u64 = 5_000;

/// The chain head: the end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of events.
    pub seq: i64,
    /// The hash of the last event. Empty if there is none.
    pub hash: String,
}

/// The format that `audit verify` prints and accepts.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seq, hash) = text.split_once(':').unwrap_or_default();
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match seq.parse() {
            Ok(seq) if is_hash => Ok(Self {
                seq,
                hash: hash.to_owned(),
            }),
            _ => Err("expected NUMBER:HASH, as `audit verify` prints it".to_owned()),
        }
    }
}

/// Why a chain is not intact.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The content or the position of this event, or of one before it, was changed.
    #[error("event {0} was altered or moved")]
    Altered(i64),
    /// The event with this number does not exist.
    #[error("event {0} is missing")]
    Missing(i64),
    /// The details of this event are not the recorded ones.
    #[error("the details of event {0} were altered")]
    DetailsAltered(i64),
    /// There is an event before the first or after the last one.
    #[error("event {0} was added outside of the chain")]
    Added(i64),
    /// The head does not match its seal or the last event.
    #[error("the head of the chain was altered")]
    Head,
    /// The head did not match its seal when this event was appended.
    #[error("the head of the chain was altered before event {0} was appended")]
    HeadTampered(i64),
    /// The event of the expected head has another hash.
    #[error("event {0} is not the one of the expected head")]
    UnexpectedHead(i64),
    /// The chain could not be read.
    #[error("the database: {0}")]
    Database(#[from] DbErr),
}

/// Verifies the whole chain, and that it contains the expected head, if any. Returns the chain head.
///
/// # Errors
/// Reports the first event that is not intact.
pub async fn verify(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    expected: Option<&Head>,
) -> Result<Head, ChainError> {
    // The head is read first. Events that are appended during the verification are not part of it.
    let head = head::read(db).await?;
    if !key.seals(head.seq, &head.hash, &head.seal) {
        return Err(ChainError::Head);
    }
    let mut last = Head::default();
    while last.seq < head.seq {
        let batch = Entity::find()
            .filter(Column::Seq.gt(last.seq))
            .filter(Column::Seq.lte(head.seq))
            .order_by_asc(Column::Seq)
            .limit(BATCH_SIZE)
            .all(db)
            .await?;
        let (Some(first), Some(end)) = (batch.first(), batch.last()) else {
            return Err(ChainError::Missing(last.seq + 1));
        };
        let contents = details::read(db, first.seq..=end.seq).await?;
        tokio::task::yield_now().await;
        for row in batch {
            let is_intact = details::is_valid(key, &row, contents.get(&row.seq));
            last = verify_next(key, &last, row)?;
            if !is_intact {
                return Err(ChainError::DetailsAltered(last.seq));
            }
            if expected.is_some_and(|expected| expected.seq == last.seq && *expected != last) {
                return Err(ChainError::UnexpectedHead(last.seq));
            }
        }
    }
    if last.hash != head.hash {
        return Err(ChainError::Head);
    }
    verify_ends(db).await?;
    match expected {
        Some(expected) if expected.seq > last.seq => Err(ChainError::Missing(last.seq + 1)),
        _ => Ok(last),
    }
}

/// Verifies the event after `last`.
fn verify_next(key: &AuditKey, last: &Head, row: Model) -> Result<Head, ChainError> {
    if row.seq != last.seq + 1 {
        return Err(ChainError::Missing(last.seq + 1));
    }
    if key.hash(&row, &last.hash) != row.hash {
        return Err(if key.hash(&row, HEAD_TAMPERED) == row.hash {
            ChainError::HeadTampered(row.seq)
        } else {
            ChainError::Altered(row.seq)
        });
    }
    Ok(Head {
        seq: row.seq,
        hash: row.hash,
    })
}

/// Verifies that no event and no details have a number outside of the chain.
async fn verify_ends(db: &impl ConnectionTrait) -> Result<(), ChainError> {
    let ends = [
        Entity::find().order_by_asc(Column::Seq).one(db).await?,
        Entity::find().order_by_desc(Column::Seq).one(db).await?,
    ];
    // A transaction writes an event together with the head, so the head that is read now covers the events read above.
    let end = head::read(db).await?.seq;
    match ends
        .into_iter()
        .flatten()
        .find(|row| !(1..=end).contains(&row.seq))
    {
        Some(row) => Err(ChainError::Added(row.seq)),
        None => match details::find_outside(db, end).await? {
            Some(seq) => Err(ChainError::DetailsAltered(seq)),
            None => Ok(()),
        },
    }
}
