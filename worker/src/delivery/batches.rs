//! What is written down of mails on their way: who has claimed them, whom their codes are for, and that they were sent.
//! Of all deliveries that come to the same step at the same moment it is written together, in one statement and one commit.

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

/// How many mails one statement is about at most.
pub(crate) const MAX_BATCH_SIZE: usize = 64;
/// How many statements of one kind at once: mails have time, and the next statement is for all that come meanwhile.
pub(crate) const MAX_IN_FLIGHT: usize = 1;
/// How long a renewal may take: so short that another comes before the claims have run out.
const RENEWED_WITHIN: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct DeliveryBatches {
    claims: Batch<Uuid, Result<Option<mail::Model>, DbErr>>,
    bindings: Batch<Uuid, Result<Option<Bound>, DbErr>>,
    renewals: Batch<(Uuid, Uuid), Result<(), DbErr>>,
    sent: Batch<Sent, Result<(), DbErr>>,
}

/// A reset, and the active account of its mailbox if there is one.
#[derive(Clone)]
pub(crate) struct Bound {
    pub(crate) reset: Reset,
    pub(crate) owner: Option<user::Model>,
}

/// A mail that SMTP took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// The mail.
    pub(crate) mail: Uuid,
    /// The reset whose code it carried.
    pub(crate) reset: Option<Uuid>,
}

impl DeliveryBatches {
    /// A ledger in a database. A claim holds for `lease` unless it is renewed, a code for `otp_lifetime`.
    pub(crate) fn new(
        db: &Database,
        clock: &Clock,
        lease: TimeDelta,
        otp_lifetime: TimeDelta,
    ) -> Self {
        let (claims, bindings, renewals, sent) = (db.clone(), db.clone(), db.clone(), db.clone());
        let (claimed, renewed, noted) = (clock.clone(), clock.clone(), clock.clone());
        Self {
            claims: Batch::new(MAX_BATCH_SIZE, MAX_IN_FLIGHT, move |ids| {
                claim(claims.clone(), claimed.clone(), lease, ids)
            }),
            bindings: Batch::new(MAX_BATCH_SIZE, MAX_IN_FLIGHT, move |ids| {
                bind(bindings.clone(), ids)
            }),
            renewals: Batch::new(MAX_BATCH_SIZE, MAX_IN_FLIGHT, move |claims| {
                renew(renewals.clone(), renewed.clone(), lease, claims)
            }),
            sent: Batch::new(MAX_BATCH_SIZE, MAX_IN_FLIGHT, move |mails| {
                record_sent(sent.clone(), noted.clone(), otp_lifetime, mails)
            }),
        }
    }

    /// Claims a mail, if it is there to be delivered.
    pub(crate) async fn claim(&self, id: Uuid) -> Result<Option<mail::Model>, DbErr> {
        self.claims.ask(id).await?
    }

    /// The reset with this id, bound to the active account of its address if there is one.
    pub(crate) async fn bind(&self, reset: Uuid) -> Result<Option<Bound>, DbErr> {
        self.bindings.ask(reset).await?
    }

    /// Prolongs the claim of a mail by its claimant.
    pub(crate) async fn renew(&self, mail: Uuid, claimant: Uuid) -> Result<(), DbErr> {
        self.renewals.ask((mail, claimant)).await?
    }

    /// Notes that SMTP took a mail, and with it when its code ends: in one step, so that a code never outlives what it
    /// should for want of the second.
    pub(crate) async fn record_sent(&self, sent: Sent) -> Result<(), DbErr> {
        self.sent.ask(sent).await?
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
            // Taken out: of two deliveries of one mail only one has the claim.
            let mut take = |id: &Uuid| {
                let found = claimed.iter().position(|mail| mail.id == *id)?;
                Some(claimed.swap_remove(found))
            };
            ids.iter().map(|id| Ok(take(id))).collect()
        }
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn bind(db: Database, ids: Vec<Uuid>) -> Vec<Result<Option<Bound>, DbErr>> {
    match bind_all(&db, &ids).await {
        Ok(bound) => {
            let find = |id: &Uuid| bound.iter().find(|bound| bound.reset.id == *id).cloned();
            ids.iter().map(|id| Ok(find(id))).collect()
        }
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn bind_all(db: &Database, ids: &[Uuid]) -> Result<Vec<Bound>, DbErr> {
    let resets = password_reset::bind(db, ids).await?;
    let owners: Vec<_> = resets.iter().filter_map(|reset| reset.user_id).collect();
    let users = user::find_many(db, &owners).await?;
    // Read after the binding: an account that has another address by now has another mailbox, too.
    let owner = |reset: &Reset| {
        let is_owner = |user: &&user::Model| {
            Some(user.id) == reset.user_id && user.email_key == reset.email_key
        };
        users.iter().find(is_owner).cloned()
    };
    Ok(resets
        .into_iter()
        .map(|reset| Bound {
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
    let renewed = timeout(RENEWED_WITHIN, renewed).await.unwrap_or_else(|_| {
        let silence = "no answer in time for the next renewal";
        Err(DbErr::Conn(RuntimeErr::Internal(silence.to_owned())))
    });
    claims.iter().map(|_| renewed.clone()).collect()
}

async fn record_sent(
    db: Database,
    clock: Clock,
    otp_lifetime: TimeDelta,
    sent: Vec<Sent>,
) -> Vec<Result<(), DbErr>> {
    let noted = async {
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
    sent.iter().map(|_| noted.clone()).collect()
}
