//! States of a mail's delivery.

use std::{fmt, str::FromStr};

use sea_orm::entity::prelude::*;

/// The state of a mail's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum MailState {
    /// Queued, or in delivery.
    #[sea_orm(string_value = "queued")]
    Queued,
    /// Accepted by the SMTP server.
    #[sea_orm(string_value = "sent")]
    Sent,
    /// Permanently refused.
    #[sea_orm(string_value = "failed")]
    Failed,
    /// Not sent before its deadline.
    #[sea_orm(string_value = "expired")]
    Expired,
    /// Ended without sending: it has no recipient, or an operator cancelled it.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// Not sent, because the budget of its mailbox is exhausted.
    #[sea_orm(string_value = "suppressed")]
    Suppressed,
}

impl FromStr for MailState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from_value(&text.to_owned())
            .map_err(|_| "one of queued, sent, failed, expired, cancelled, suppressed".to_owned())
    }
}

impl fmt::Display for MailState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_value())
    }
}
