//! Looking, now and then, whether the log still goes through where its head was seen: what was put back while a program
//! runs is found by that program.

use sea_orm::entity::prelude::*;

use crate::models::audit::{AuditKey, ChainError, Entity, Head, head};

/// Remembers where the head was.
pub struct Watch {
    key: AuditKey,
    seen: Option<Head>,
}

impl Watch {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(key: AuditKey) -> Self {
        Self { key, seen: None }
    }

    /// The head now. What lies between here and the last look is not read: that is for [`crate::models::audit::verify`].
    ///
    /// # Errors
    /// When the head is not as it was written, or the log does not go through where it was seen. It is not forgotten
    /// then, so that each later look fails, too.
    pub async fn look(&mut self, db: &impl ConnectionTrait) -> Result<Head, ChainError> {
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
                    return Err(ChainError::NotAsNoted(seen.seq));
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
