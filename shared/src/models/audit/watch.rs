//! Detects that an earlier state of the log was restored while a program runs.

use sea_orm::entity::prelude::*;

use crate::models::audit::{AuditKey, ChainError, Entity, Head, head};

/// Remembers the last seen head of the chain.
pub struct HeadWatcher {
    key: AuditKey,
    seen: Option<Head>,
}

impl HeadWatcher {
    /// Creates a watcher that has not seen a head.
    #[must_use]
    pub fn new(key: AuditKey) -> Self {
        Self { key, seen: None }
    }

    /// Returns the current head, and checks that the last seen one is still part of the chain. Does not read the events in
    /// between, as [`verify`](crate::models::audit::verify) does.
    ///
    /// # Errors
    /// After a failed check, the watcher keeps the last valid head, so that later checks fail, too.
    pub async fn check(&mut self, db: &impl ConnectionTrait) -> Result<Head, ChainError> {
        let head = head::read(db).await?;
        if !self.key.seals(head.seq, &head.hash, &head.seal) {
            return Err(ChainError::Head);
        }
        if let Some(seen) = &self.seen {
            if head.seq < seen.seq {
                return Err(ChainError::Missing(head.seq + 1));
            }
            let event = Entity::find_by_id(seen.seq).one(db).await?;
            match event {
                _ if seen.seq == 0 => {}
                None => return Err(ChainError::Missing(seen.seq)),
                Some(event) if event.hash != seen.hash => {
                    return Err(ChainError::UnexpectedHead(seen.seq));
                }
                Some(_) => {}
            }
        }
        let head = Head {
            seq: head.seq,
            hash: head.hash,
        };
        self.seen = Some(head.clone());
        Ok(head)
    }
}
