//! The budget of a mailbox while Redis cannot count: the rows of earlier notices decide.
//!
//! A notice is sent if the notices created before it leave room, whether they are sent or waiting. So the result does not depend on
//! the order of deliveries, and parallel deliveries cannot exceed the budget. A notice that does not fit waits until Redis counts
//! again. Mails with a one-time code need Redis anyway.

use chrono::TimeDelta;
use latchkey_shared::{
    config::rate::Rate,
    models::mail::{self, BudgetCause, CountedMails, MailKind},
};
use sea_orm::DbErr;

use crate::delivery::{
    Inner,
    mail_budget::{MailRates, check::ReserveKind},
};

impl Inner {
    /// Returns whether a notice is within the budget of its mailbox, with the limits that Redis applies.
    pub(super) async fn fits_by_rows(
        &self,
        rates: &MailRates,
        mail: &mail::Model,
        kind: MailKind,
        account_id: i64,
        reserve: Option<ReserveKind>,
    ) -> Result<bool, DbErr> {
        if kind.purpose().is_some() {
            return Ok(false);
        }
        let fits = async |counted, rate| self.leaves_room(mail, counted, rate).await;
        let cause = match kind.budget_cause() {
            BudgetCause::Account => Some(CountedMails::AboutAccount(account_id)),
            BudgetCause::CustomerNetwork => match &mail.customer_network {
                Some(network) => Some(CountedMails::OfNetwork(network)),
                None if kind.is_repeatable_by_anyone() => None,
                None => Some(CountedMails::AboutAccount(account_id)),
            },
        };
        if let Some(cause) = cause
            && !fits(cause, rates.cause).await?
        {
            return Ok(false);
        }
        if fits(CountedMails::OfMailbox, rates.hour).await?
            && fits(CountedMails::OfMailbox, rates.day).await?
        {
            return Ok(true);
        }
        let account = CountedMails::AboutAccount(account_id);
        match reserve {
            // The rows do not show which mails were caused from a known network.
            _ if kind.is_repeatable_by_anyone() => Ok(false),
            Some(ReserveKind::Verified) => fits(account, rates.reserve()).await,
            Some(ReserveKind::Plain) => {
                let first = Rate::new(1, rates.day.seconds);
                Ok(fits(account, first).await?
                    && fits(CountedMails::ToPlainSpelling, rates.reserve()).await?)
            }
            None => Ok(false),
        }
    }

    /// Returns whether earlier notices leave room for this one in a rate.
    async fn leaves_room(
        &self,
        mail: &mail::Model,
        counted: CountedMails<'_>,
        rate: Rate,
    ) -> Result<bool, DbErr> {
        let since = mail.created_at - TimeDelta::seconds(rate.seconds.into());
        let max = u64::from(rate.count);
        let earlier = mail::count_earlier(&self.db, mail, counted, since, max).await?;
        Ok(earlier < max)
    }
}
