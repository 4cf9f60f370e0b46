//! Checks the mailbox budget of a mail before delivery.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    models::{
        mail::{self, BudgetCause, MailKind, MailState},
        session, user,
    },
    types::email::Email,
};
use sea_orm::DbErr;

use crate::delivery::{
    Inner,
    mail_budget::{BudgetRequest, Exceeded, Limit, MailBudget, Reserve, ReserveUse},
    outcome::DeliveryResult,
};

/// The reserve of an account beyond the totals of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReserveKind {
    /// The account's own, as its owner has verified the address.
    Verified,
    /// One for all accounts whose address is the plain spelling of the mailbox. One account at a time has that address, but
    /// accounts of strangers can pass it on.
    Plain,
}

impl ReserveKind {
    /// Returns the reserve of the account in the mailbox that a mail goes to, if any. The verification of the account's address
    /// counts for that address only, as a notice about a new address goes to the previous one.
    fn of(mail: &mail::Model, recipient: &Email, owner: Option<&user::Model>) -> Option<Self> {
        let key = recipient.key();
        let is_verified =
            owner.is_some_and(|it| it.email_verified_at.is_some() && it.email_key == key);
        if mail.recipient_verified || is_verified {
            return Some(Self::Verified);
        }
        (key == key.mailbox()).then_some(Self::Plain)
    }

    /// Returns the name of the reserve. Each known network of a verified account has its own, so that an attacker who has
    /// guessed the password cannot use up the owner's.
    fn name(self, cause: &str, account_id: i64) -> String {
        match self {
            Self::Verified => format!("account {account_id}:{cause}"),
            Self::Plain => "plain".to_owned(),
        }
    }
}

/// The account and the email that a mail goes to.
#[derive(Clone, Copy)]
pub(in crate::delivery) struct Recipient<'a> {
    pub(in crate::delivery) account_id: i64,
    /// `None` once the account is deleted.
    pub(in crate::delivery) owner: Option<&'a user::Model>,
    pub(in crate::delivery) email: &'a Email,
}

impl Inner {
    /// Counts a mail to an account owner in the budget of the mailbox. Returns how the delivery ends if a limit is exceeded: a
    /// code within the cooldown is deferred unless it would expire, any other mail is suppressed.
    pub(in crate::delivery) async fn exceeds_budget(
        &self,
        mail: &mail::Model,
        kind: MailKind,
        recipient: Recipient<'_>,
    ) -> Result<Option<DeliveryResult>, DbErr> {
        let Some(budget) = &self.limits.budget else {
            return Ok(None);
        };
        if mail.beyond_budget {
            return Ok(None);
        }
        let reserve_kind = ReserveKind::of(mail, recipient.email, recipient.owner);
        let account_id = recipient.account_id;
        let account = format!("account {account_id}");
        let (cause, mut usable) = cause_of(mail, kind, &account, reserve_kind);
        let name = reserve_kind
            .zip(cause)
            .map(|(reserve, cause)| reserve.name(cause, account_id));
        let reserve = |usable| name.as_deref().map(|name| Reserve { name, usable });
        let mut request = BudgetRequest {
            mail: mail.id,
            kind,
            recipient: &recipient.email.key(),
            cause,
            reserve: reserve(usable),
        };
        let now = self.clock.now();
        let mut taken = budget.take(request, now).await;
        if let Ok(Some(exceeded)) = &taken
            && is_total(exceeded.limit)
            && reserve_kind.is_some()
            && self
                .is_from_known_network(budget, mail, kind, recipient)
                .await?
        {
            // Strangers can use up the totals, but not the reserve of the owner's own network.
            usable = ReserveUse::Always;
            request.reserve = reserve(usable);
            taken = budget.take(request, now).await;
        }
        match taken {
            Ok(exceeded) => {
                let usable = reserve_kind.map(|_| usable);
                Ok(exceeded.map(|exceeded| exceeded_result(exceeded, mail, usable, now)))
            }
            Err(error) => {
                let fits = self
                    .fits_by_rows(budget.rates(), mail, kind, account_id, reserve_kind)
                    .await?;
                Ok((!fits).then(|| DeliveryResult::redis_unavailable("no budget", &error)))
            }
        }
    }

    /// Returns whether a mail that is counted by customer network was caused from a known network of its account.
    async fn is_from_known_network(
        &self,
        budget: &MailBudget,
        mail: &mail::Model,
        kind: MailKind,
        recipient: Recipient<'_>,
    ) -> Result<bool, DbErr> {
        let (Some(owner), Some(network), BudgetCause::CustomerNetwork) =
            (recipient.owner, &mail.customer_network, kind.budget_cause())
        else {
            return Ok(false);
        };
        let (limit, now) = (budget.rates().max_known_networks(), self.clock.now());
        let known =
            session::known_networks(&self.db, owner, &recipient.email.key(), limit, now).await?;
        Ok(known.contains(network))
    }
}

/// Returns the cause that a mail is counted by, if known, and when the mail may use the reserve. A mail caused by staff has no
/// network.
fn cause_of<'a>(
    mail: &'a mail::Model,
    kind: MailKind,
    account: &'a str,
    reserve: Option<ReserveKind>,
) -> (Option<&'a str>, ReserveUse) {
    let network = mail.customer_network.as_deref();
    if kind.is_repeatable_by_anyone() {
        return (network, ReserveUse::Never);
    }
    let cause = match kind.budget_cause() {
        BudgetCause::CustomerNetwork => network.unwrap_or(account),
        BudgetCause::Account => account,
    };
    let usable = match reserve {
        Some(ReserveKind::Verified) => ReserveUse::Always,
        Some(ReserveKind::Plain) | None => ReserveUse::First,
    };
    (Some(cause), usable)
}

/// Returns whether a limit counts the mails of all causes.
fn is_total(limit: Limit) -> bool {
    matches!(limit, Limit::Hour | Limit::Day)
}

/// Returns the result for a mail that exceeds a limit. The reason of a suppressed mail says why it used no reserve. `usable` is
/// the use of the reserve that was allowed, or `None` without a reserve.
fn exceeded_result(
    Exceeded { limit, wait }: Exceeded,
    mail: &mail::Model,
    usable: Option<ReserveUse>,
    now: DateTime<Utc>,
) -> DeliveryResult {
    let reason = limit.reason();
    if limit == Limit::Cooldown && now + wait < mail.deliver_before {
        return DeliveryResult::DeferredUntil(now + wait, reason.to_owned());
    }
    let no_reserve = match usable {
        _ if !is_total(limit) => return DeliveryResult::ended(MailState::Suppressed, reason),
        None => "no reserve, because the email is not verified",
        Some(ReserveUse::Never) => "no reserve, because the request came from an unknown network",
        Some(ReserveUse::First | ReserveUse::Always) => {
            "the reserve is for the first mail of a day"
        }
    };
    DeliveryResult::Ended(MailState::Suppressed, format!("{reason}; {no_reserve}"))
}
