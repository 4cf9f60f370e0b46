//! Batches the writes of concurrent deliveries: claims, reset bindings, renewals, and sent mails.
//!
//! Deliveries that reach the same step while a statement is in flight share the next statement and its commit.

use std::time::Duration;

use chrono::TimeDelta;
use latchkey_shared::{
    batch::Batch,
    clock::Clock,
    database::{self, Database},
    models::{
        mail,
        password_reset::{self, Model as Reset},
        user,
    },
};
use sea_orm::{DbErr, RuntimeErr};
use tokio::time::timeout;
use uuid::Uuid;

/// Maximum number of mails in one statement.
pub(crate) const MAX_BATCH_SIZE: usize = 64;
/// Maximum number of concurrent statements of one kind. Fewer statements mean larger batches.
pub(crate) const MAX_CONCURRENT_BATCHES: usize = 1;
/// The timeout of a renewal, so short that another renewal fits in before the claims expire.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The batches of all deliveries of a worker.
pub(crate) struct DeliveryBatches {
    claims: Batch<Uuid, Result<Option<mail::Model>, DbErr>>,
    bindings: Batch<Uuid, Result<Option<BoundReset>, DbErr>>,
    renewals: Batch<(Uuid, Uuid), Result<(), DbErr>>,
    sent: Batch<SentMail, Result<(), DbErr>>,
}

/// A request for a code and its active account, if any.
#[derive(Clone)]
pub(crate) struct BoundReset {
    pub(crate) reset: Reset,
    pub(crate) owner: Option<user::Model>,
}

/// A mail that the SMTP server accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentMail {
    /// The mail.
    pub(crate) mail: Uuid,
    /// The reset whose code it carried.
    pub(crate) reset: Option<Uuid>,
}

impl DeliveryBatches {
    /// Creates the batches. A claim lasts for `lease` unless it is renewed, a code for `otp_lifetime` after its mail was sent.
    pub(crate) fn new(
        db: &Database,
        clock: &Clock,
        lease: TimeDelta,
        otp_lifetime: TimeDelta,
    ) -> Self {
        let (claims, bindings, renewals, sent) = (db.clone(), db.clone(), db.clone(), db.clone());
        let (claimed, renewed, recorded) = (clock.clone(), clock.clone(), clock.clone());
        Self {
            claims: Batch::new(MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES, move |ids| {
                claim(claims.clone(), claimed.clone(), lease, ids)
            }),
            bindings: Batch::new(MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES, move |ids| {
                bind(bindings.clone(), ids)
            }),
            renewals: Batch::new(MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES, move |claims| {
                renew(renewals.clone(), renewed.clone(), lease, claims)
            }),
            sent: Batch::new(MAX_BATCH_SIZE, MAX_CONCURRENT_BATCHES, move |mails| {
                record_sent(sent.clone(), recorded.clone(), otp_lifetime, mails)
            }),
        }
    }

    /// Claims a mail if it is due and not claimed.
    pub(crate) async fn claim(&self, id: Uuid) -> Result<Option<mail::Model>, DbErr> {
        self.claims.submit(id).await?
    }

    /// Binds a reset to the active account of its address, if any, and returns both.
    pub(crate) async fn bind(&self, reset: Uuid) -> Result<Option<BoundReset>, DbErr> {
        self.bindings.submit(reset).await?
    }

    /// Renews the claim of `claimant` on a mail.
    pub(crate) async fn renew(&self, mail: Uuid, claimant: Uuid) -> Result<(), DbErr> {
        self.renewals.submit((mail, claimant)).await?
    }

    /// Records that a mail was sent and when its code expires, in one transaction, so that no code lives too long because the
    /// second write failed.
    pub(crate) async fn record_sent(&self, sent: SentMail) -> Result<(), DbErr> {
        self.sent.submit(sent).await?
    }
}

async fn claim(
    db: Database,
    clock: Clock,
    lease: TimeDelta,
    ids: Vec<Uuid>,
) -> Vec<Result<Option<mail::Model>, DbErr>> {
    match mail::claim(&db, &ids, Uuid::now_v7(), clock.now(), lease).await {
        Ok(mut claimed) => {
            // Removes the row, so that only one of two deliveries of a mail gets the claim.
            let mut take = |id: &Uuid| {
                let found = claimed.iter().position(|mail| mail.id == *id)?;
                Some(claimed.swap_remove(found))
            };
            ids.iter().map(|id| Ok(take(id))).collect()
        }
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn bind(db: Database, ids: Vec<Uuid>) -> Vec<Result<Option<BoundReset>, DbErr>> {
    match bind_all(&db, &ids).await {
        Ok(bound) => {
            let find = |id: &Uuid| bound.iter().find(|bound| bound.reset.id == *id).cloned();
            ids.iter().map(|id| Ok(find(id))).collect()
        }
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn bind_all(db: &Database, ids: &[Uuid]) -> Result<Vec<BoundReset>, DbErr> {
    let resets = password_reset::bind(db, ids).await?;
    let owners: Vec<_> = resets.iter().filter_map(|reset| reset.user_id).collect();
    let users = user::find_many(db, &owners).await?;
    // Read after the binding, as the account may have another address by now.
    let owner = |reset: &Reset| {
        let is_owner =
            |user: &&user::Model| Some(user.id) == reset.user_id && reset.is_owned_by(user);
        users.iter().find(is_owner).cloned()
    };
    Ok(resets
        .into_iter()
        .map(|reset| BoundReset {
            owner: owner(&reset),
            reset,
        })
        .collect())
}

async fn renew(
    db: Database,
    clock: Clock,
    lease: TimeDelta,
    claims: Vec<(Uuid, Uuid)>,
) -> Vec<Result<(), DbErr>> {
    let renewed = mail::renew_claims(&db, &claims, clock.now() + lease);
    let renewed = timeout(RENEWAL_TIMEOUT, renewed).await.unwrap_or_else(|_| {
        let error = RuntimeErr::Internal("claim renewal timed out".to_owned());
        Err(DbErr::Conn(error))
    });
    claims.iter().map(|_| renewed.clone()).collect()
}

async fn record_sent(
    db: Database,
    clock: Clock,
    otp_lifetime: TimeDelta,
    sent: Vec<SentMail>,
) -> Vec<Result<(), DbErr>> {
    let recorded = async {
        let now = clock.now();
        let mails: Vec<_> = sent.iter().map(|sent| sent.mail).collect();
        let resets: Vec<_> = sent.iter().filter_map(|sent| sent.reset).collect();
        let step = database::begin(&db).await?;
        mail::mark_sent(&step, &mails, now).await?;
        if !resets.is_empty() {
            password_reset::start_code_lifetimes(&step, &resets, now + otp_lifetime).await?;
        }
        step.commit().await
    }
    .await;
    sent.iter().map(|_| recorded.clone()).collect()
}
