//! Counts of earlier mails to a mailbox, for the mail budget while Redis cannot count.

use chrono::{DateTime, Utc};
use sea_orm::{Condition, PaginatorTrait as _, QuerySelect as _, entity::prelude::*};

use crate::models::mail::{Column, Entity, MailState, Model};

/// Which notices to a mailbox a count includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedMails<'a> {
    /// All of them.
    OfMailbox,
    /// Those about an account.
    AboutAccount(i64),
    /// Those that a customer network caused.
    OfNetwork(&'a str),
    /// Those to the mailbox's plain spelling.
    ToPlainSpelling,
}

impl CountedMails<'_> {
    fn condition(self, mail: &Model) -> Option<Expr> {
        match self {
            Self::OfMailbox => None,
            Self::AboutAccount(id) => Some(Column::UserId.eq(id)),
            Self::OfNetwork(network) => Some(Column::CustomerNetwork.eq(network)),
            Self::ToPlainSpelling => Some(Column::RecipientKey.eq(mail.recipient_mailbox.clone())),
        }
    }
}

/// Counts notices of the same kind to the same mailbox that were created after `since`, up to `max`: those created before this mail,
/// and those already sent, whose transactions were faster. Does not count mails that are suppressed, cancelled or exempt from the
/// budget.
pub async fn count_earlier(
    db: &impl ConnectionTrait,
    mail: &Model,
    counted: CountedMails<'_>,
    since: DateTime<Utc>,
    max: u64,
) -> Result<u64, DbErr> {
    let which = Condition::all()
        .add(Column::RecipientMailbox.eq(mail.recipient_mailbox.clone()))
        .add(Column::Kind.eq(mail.kind.as_str()))
        .add(Column::CreatedAt.gt(since))
        // Notices, in the words of the partial index.
        .add(Column::UserId.is_not_null())
        .add(
            Condition::any()
                .add(Column::Id.lt(mail.id))
                .add(Column::State.eq(MailState::Sent)),
        )
        .add(Column::State.is_not_in([MailState::Suppressed, MailState::Cancelled]))
        .add(Column::BeyondBudget.eq(false))
        .add_option(counted.condition(mail));
    Entity::find().filter(which).limit(max).count(db).await
}
