//! A delivery's question whether its mail fits into the budget of the mailbox.

use chrono::TimeDelta;
use latchkey_shared::{
    dependency::Refusal,
    models::{
        mail::{self, BudgetCause, MailKind, MailState},
        session, user,
    },
    types::email::Email,
};
use sea_orm::DbErr;

use crate::delivery::mail_budget::{BudgetRequest, Exceeded, Limit, MailBudget, Reserve, Usable};
use crate::delivery::{DeliveryResult, Parts, ended};

/// Why an account has a reserve beyond the totals of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Its owner has proved the address. Strangers cannot, so such accounts have a reserve each.
    Verified,
    /// The address is the plain spelling of its mailbox. One account has it at a time, but accounts of strangers can hand it
    /// round, so that all of them share one reserve.
    Plain,
}

impl Claim {
    /// Returns the claim of an account on the reserve of the mailbox that a mail goes to, if it has one. What is said of the
    /// account's address counts for that address alone: a notice about a new address goes to the previous one.
    fn of(mail: &mail::Model, recipient: &Email, owner: &user::Model) -> Option<Self> {
        let key = recipient.key();
        let is_verified = owner.email_verified_at.is_some() && owner.email_key == key;
        if mail.recipient_verified || is_verified {
            return Some(Self::Verified);
        }
        (key == key.mailbox()).then_some(Self::Plain)
    }

    /// Returns the name of the reserve. Each known network of a verified account has its own, so that somebody who has guessed
    /// the password uses up nothing of the owner's.
    fn reserve(self, cause: &str, owner: &user::Model) -> String {
        match self {
            Self::Verified => format!("account {}:{cause}", owner.id),
            Self::Plain => "plain".to_owned(),
        }
    }
}

impl Parts {
    /// Counts a mail to the owner of an account in the budget of its mailbox; the verdict when it does not fit. A code that
    /// only comes too soon after another is deferred for as long as it is worth it, all else is suppressed.
    pub(super) async fn exceeds_budget(
        &self,
        mail: &mail::Model,
        kind: MailKind,
        owner: &user::Model,
    ) -> Result<Option<DeliveryResult>, DbErr> {
        let (Some(budget), Ok(email)) = (&self.budget, mail.recipient.parse::<Email>()) else {
            return Ok(None);
        };
        if mail.beyond_budget {
            return Ok(None);
        }
        let claim = Claim::of(mail, &email, owner);
        let account = format!("account {}", owner.id);
        let (cause, usable) = match (kind.budget_cause(), claim) {
            (BudgetCause::ClientNetwork, _) => (mail.client_network.as_deref(), Usable::Never),
            (BudgetCause::Account, Some(Claim::Verified)) => (Some(&*account), Usable::Always),
            (BudgetCause::Account, _) => (Some(&*account), Usable::First),
        };
        let name = claim
            .zip(cause)
            .map(|(claim, cause)| claim.reserve(cause, owner));
        let reserve = |usable| name.as_deref().map(|name| Reserve { name, usable });
        let mut request = BudgetRequest {
            mail: mail.id,
            kind,
            recipient: &email.key(),
            cause,
            reserve: reserve(usable),
        };
        let now = self.clock.now();
        let mut taken = budget.take(request, now).await;
        if let Ok(Some(exceeded)) = &taken
            && matches!(exceeded.limit, Limit::Hour | Limit::Day)
            && claim.is_some()
            && self
                .is_from_known_network(budget, mail, kind, owner)
                .await?
        {
            // Strangers use up what all have together, but not what the owner has at home.
            request.reserve = reserve(Usable::Always);
            taken = budget.take(request, now).await;
        }
        Ok(match taken {
            Ok(None) => None,
            Ok(Some(Exceeded { limit, wait }))
                if limit == Limit::Cooldown && now + wait < mail.deliver_before =>
            {
                Some(DeliveryResult::Deferred(
                    now + wait,
                    limit.reason().to_owned(),
                ))
            }
            Ok(Some(exceeded)) => Some(suppressed(exceeded.limit, claim)),
            Err(_) if self.fits_by_rows(budget, mail, kind, owner.id).await? => None,
            Err(error) => {
                let refusal = Refusal::from(&error);
                Some(DeliveryResult::AwaitRedis(format!("no budget: {refusal}")))
            }
        })
    }

    /// Whether a mail that is counted by client network was caused in one that its account knows.
    async fn is_from_known_network(
        &self,
        budget: &MailBudget,
        mail: &mail::Model,
        kind: MailKind,
        owner: &user::Model,
    ) -> Result<bool, DbErr> {
        let (Some(network), BudgetCause::ClientNetwork) =
            (&mail.client_network, kind.budget_cause())
        else {
            return Ok(false);
        };
        let (limit, now) = (budget.rates().max_known_networks(), self.clock.now());
        let known = session::known_networks(&self.db, owner, limit, now).await?;
        Ok(known.contains(network))
    }

    /// Whether a notice is among the first of its kind for its account, as many as one cause may have. The rows tell, whatever
    /// other workers do at the same time, so notices are delivered while Redis cannot count them. Codes need Redis anyway.
    async fn fits_by_rows(
        &self,
        budget: &MailBudget,
        mail: &mail::Model,
        kind: MailKind,
        owner: i64,
    ) -> Result<bool, DbErr> {
        if kind.purpose().is_some() {
            return Ok(false);
        }
        let rate = budget.rates().cause;
        let since = mail.created_at - TimeDelta::seconds(rate.seconds.into());
        let earlier = mail::count_earlier(&self.db, mail, owner, since).await?;
        Ok(earlier < u64::from(rate.count))
    }
}

/// The end of a mail that a limit refuses. The reason says, too, when the account has no reserve.
fn suppressed(limit: Limit, claim: Option<Claim>) -> DeliveryResult {
    let reason = limit.reason();
    match (limit, claim) {
        (Limit::Hour | Limit::Day, None) => DeliveryResult::Ended(
            MailState::Suppressed,
            format!("{reason}; no reserve, as the address is not verified"),
        ),
        _ => ended(MailState::Suppressed, reason),
    }
}
