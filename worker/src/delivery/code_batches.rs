//! Batches the access of concurrent deliveries to one-time codes in Redis, one round trip a batch.

use std::sync::Arc;

use chrono::TimeDelta;
use latchkey_shared::{
    batch::Batch,
    redis::one_time_code::{CodeError, CodeStore, Otp},
};
use uuid::Uuid;

use crate::delivery::batches::{MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES};

/// A reset and how long Redis keeps its code.
type ResetLifetime = (Uuid, TimeDelta);

/// The one-time codes of mails that are being delivered.
pub(crate) struct CodeBatches {
    lookups: Batch<ResetLifetime, Result<Otp, CodeError>>,
    expiries: Batch<ResetLifetime, Result<(), CodeError>>,
}

impl CodeBatches {
    /// Creates the batches for codes of `digits` digits.
    pub(crate) fn new(store: CodeStore, digits: u32) -> Self {
        let lookups = Arc::new(store);
        let expiries = Arc::clone(&lookups);
        Self {
            lookups: Batch::new(MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES, move |resets| {
                get_or_create(Arc::clone(&lookups), digits, resets)
            }),
            expiries: Batch::new(MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES, move |resets| {
                expire(Arc::clone(&expiries), resets)
            }),
        }
    }

    /// Returns the code of a reset, and creates it if there is none.
    pub(crate) async fn get_or_create(
        &self,
        reset: Uuid,
        lifetime: TimeDelta,
    ) -> Result<Otp, CodeError> {
        self.lookups.submit((reset, lifetime)).await?
    }

    /// Makes Redis delete the code of a reset after `lifetime`.
    pub(crate) async fn expire_after(
        &self,
        reset: Uuid,
        lifetime: TimeDelta,
    ) -> Result<(), CodeError> {
        self.expiries.submit((reset, lifetime)).await?
    }
}

async fn get_or_create(
    store: Arc<CodeStore>,
    digits: u32,
    resets: Vec<ResetLifetime>,
) -> Vec<Result<Otp, CodeError>> {
    store.get_or_create_many(digits, &resets).await
}

async fn expire(store: Arc<CodeStore>, resets: Vec<ResetLifetime>) -> Vec<Result<(), CodeError>> {
    let expiries = store.expire_many(&resets).await;
    resets.iter().map(|_| expiries.clone()).collect()
}
