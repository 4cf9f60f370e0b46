//! The codes of mails on their way, of all deliveries that come to the same step at the same moment in one round trip.

use std::sync::Arc;

use chrono::TimeDelta;
use latchkey_shared::{
    batch::Batch,
    redis::one_time_code::{CodeError, CodeStore, Otp},
};
use uuid::Uuid;

use crate::delivery::batches::{MAX_BATCH_SIZE, MAX_IN_FLIGHT};

/// A reset, and for how long Redis is to keep its code.
type Kept = (Uuid, TimeDelta);

/// See the module.
pub(crate) struct Codes {
    drawn: Batch<Kept, Result<Otp, CodeError>>,
    expiring: Batch<Kept, Result<(), CodeError>>,
}

impl Codes {
    /// Codes of so many digits.
    pub(crate) fn new(store: CodeStore, digits: u32) -> Self {
        let drawn = Arc::new(store);
        let expiring = Arc::clone(&drawn);
        Self {
            drawn: Batch::new(MAX_BATCH_SIZE, MAX_IN_FLIGHT, move |resets| {
                draw(Arc::clone(&drawn), digits, resets)
            }),
            expiring: Batch::new(MAX_BATCH_SIZE, MAX_IN_FLIGHT, move |resets| {
                expire(Arc::clone(&expiring), resets)
            }),
        }
    }

    /// The code of a reset: the one that is there, or else a new one.
    pub(crate) async fn draw(&self, reset: Uuid, lifetime: TimeDelta) -> Result<Otp, CodeError> {
        self.drawn.ask((reset, lifetime)).await?
    }

    /// Lets Redis drop the code of a reset after `lifetime`.
    pub(crate) async fn expire_after(
        &self,
        reset: Uuid,
        lifetime: TimeDelta,
    ) -> Result<(), CodeError> {
        self.expiring.ask((reset, lifetime)).await?
    }
}

async fn draw(
    store: Arc<CodeStore>,
    digits: u32,
    resets: Vec<Kept>,
) -> Vec<Result<Otp, CodeError>> {
    store.draw_many(digits, &resets).await
}

async fn expire(store: Arc<CodeStore>, resets: Vec<Kept>) -> Vec<Result<(), CodeError>> {
    let expiring = store.expire_many(&resets).await;
    resets.iter().map(|_| expiring.clone()).collect()
}
