//! A delivery's question whether its mail fits into the budget of the mailbox.

use latchkey_shared::{
    email::Email,
    mail::{self, BudgetCause, MailKind, MailState},
    session,
};
use sea_orm::DbErr;

use super::{Parts, Verdict, ended};
use crate::mail_budget::{BudgetRequest, Exceeded, Exceeds, Limit};

impl Parts {
    /// Counts a mail to the owner of an account in the budget of its mailbox; the verdict when it does not fit. A code that
    /// only comes too soon after another is deferred for as long as it is worth it, all else is suppressed.
    pub(super) async fn exceeds_budget(
        &self,
        mail: &mail::Model,
        kind: MailKind,
        owner: i64,
    ) -> Result<Option<Verdict>, DbErr> {
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
                Some(Verdict::Deferred(now + wait, limit.reason().to_owned()))
            }
            Ok(Some(exceeded)) => Some(ended(MailState::Suppressed, exceeded.limit.reason())),
            Err(error) => Some(Verdict::PutOff(format!("no budget: {error}"))),
        })
    }
}
