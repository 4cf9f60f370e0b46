//! A delivery's question whether its mail fits into the budget of the mailbox.

use chrono::TimeDelta;
use latchkey_shared::{
    dependency::Refusal,
    models::{
        mail::{self, BudgetCause, MailKind, MailState},
        session,
    },
    types::email::Email,
};
use sea_orm::DbErr;

use crate::delivery::mail_budget::{BudgetRequest, Exceeded, Exceeds, Limit, MailBudget};
use crate::delivery::{DeliveryResult, Parts, ended};

impl Parts {
    /// Counts a mail to the owner of an account in the budget of its mailbox; the verdict when it does not fit. A code that
    /// only comes too soon after another is deferred for as long as it is worth it, all else is suppressed.
    pub(super) async fn exceeds_budget(
        &self,
        mail: &mail::Model,
        kind: MailKind,
        owner: i64,
    ) -> Result<Option<DeliveryResult>, DbErr> {
        let (Some(budget), Ok(email)) = (&self.budget, mail.recipient.parse::<Email>()) else {
            return Ok(None);
        };
        if mail.beyond_budget {
            return Ok(None);
        }
        let account = format!("account {owner}");
        let (cause, exceeds) = match kind.budget_cause() {
            BudgetCause::ClientNetwork => (mail.client_network.as_deref(), Exceeds::Never),
            BudgetCause::Account => (Some(account.as_str()), Exceeds::First),
        };
        let mut request = BudgetRequest {
            mail: mail.id,
            kind,
            recipient: &email.key(),
            cause,
            exceeds,
        };
        let now = self.clock.now();
        let mut taken = budget.take(request, now).await;
        if let (Ok(Some(exceeded)), Some(network)) = (&taken, &mail.client_network)
            && kind.budget_cause() == BudgetCause::ClientNetwork
            && matches!(exceeded.limit, Limit::Hour | Limit::Day)
            && session::is_known_network(&self.db, owner, network).await?
        {
            // Strangers use up what all have together, but not what the owner has at home.
            request.exceeds = Exceeds::Always;
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
            Ok(Some(exceeded)) => Some(ended(MailState::Suppressed, exceeded.limit.reason())),
            Err(_) if self.fits_by_rows(budget, mail, kind, owner).await? => None,
            Err(error) => {
                let refusal = Refusal::from(&error);
                Some(DeliveryResult::AwaitRedis(format!("no budget: {refusal}")))
            }
        })
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
        let rate = budget.cause();
        let since = mail.created_at - TimeDelta::seconds(rate.seconds.into());
        let earlier = mail::count_earlier(&self.db, mail, owner, since).await?;
        Ok(earlier < u64::from(rate.count))
    }
}
