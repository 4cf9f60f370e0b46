//! Decides whether a claimed mail may be sent, and prepares its content.

use latchkey_shared::{
    models::{
        mail::{self, MailKind, MailState},
        password_reset::{self, Purpose},
        user,
    },
    outbox::template::Content,
    redis::one_time_code::{CodeError, Otp},
    types::{email::Email, language_tag::LanguageTag},
};
use sea_orm::DbErr;

use crate::delivery::{Inner, batches::BoundReset, outcome::DeliveryResult};

/// A mail that is ready to be composed, or the result of one that must not be sent.
pub(super) enum Prepared {
    /// The code, its reset, and the stored address and the language of the account.
    Code(Otp, password_reset::Model, Email, Option<LanguageTag>),
    /// The content, and the language of the account.
    Notice(Content, Option<LanguageTag>),
    Ended(DeliveryResult),
}

impl Prepared {
    fn ended(state: MailState, reason: &str) -> Self {
        Self::Ended(DeliveryResult::ended(state, reason))
    }
}

impl Inner {
    pub(super) async fn prepare(
        &self,
        mail: &mail::Model,
        kind: MailKind,
    ) -> Result<Prepared, DbErr> {
        if kind.purpose().is_some() {
            self.prepare_code(mail, kind).await
        } else {
            self.prepare_notice(mail, kind).await
        }
    }

    /// Finds the account of a reset and creates its code. The API writes resets without looking up accounts. The code goes to
    /// the stored address of the account, whatever spelling the request used.
    async fn prepare_code(&self, mail: &mail::Model, kind: MailKind) -> Result<Prepared, DbErr> {
        use MailState::{Cancelled, Expired, Failed};
        let now = self.clock.now();
        let Some(id) = mail.reset_id else {
            return Ok(Prepared::ended(Failed, "the mail has no reset"));
        };
        let Some(BoundReset { reset, owner }) = self.batches.bind(id).await? else {
            return Ok(Prepared::ended(Cancelled, "the reset was deleted"));
        };
        if !reset.is_open(now) {
            return Ok(if reset.ended_at.is_some() {
                Prepared::ended(Cancelled, "the reset has ended")
            } else {
                Prepared::ended(Expired, "the reset has expired")
            });
        }
        let Some(owner) = owner else {
            return Ok(Prepared::ended(Cancelled, "no active account"));
        };
        if reset.purpose == Purpose::Activation && !owner.pending_email_verification {
            let reason = "the account is not pending verification";
            return Ok(Prepared::ended(Cancelled, reason));
        }
        // Parsed again, as the address becomes part of the SMTP conversation.
        let Ok(stored) = owner.email.as_str().parse::<Email>() else {
            return Ok(Prepared::ended(Failed, "invalid recipient"));
        };
        if let Some(result) = self
            .exceeds_budget(mail, kind, owner.id, Some(&owner))
            .await?
        {
            return Ok(Prepared::Ended(result));
        }
        let code = self.codes.get_or_create(id, reset.expires_at - now).await;
        Ok(match code {
            Ok(code) => Prepared::Code(code, reset, stored, owner.language),
            Err(CodeError::Redis(error)) => {
                Prepared::Ended(DeliveryResult::redis_unavailable("no code", &error))
            }
            Err(error) => Prepared::Ended(DeliveryResult::Retry(format!("no code: {error}"))),
        })
    }

    async fn prepare_notice(&self, mail: &mail::Model, kind: MailKind) -> Result<Prepared, DbErr> {
        use MailState::{Cancelled, Failed};
        let Some(id) = mail.user_id else {
            return Ok(Prepared::ended(Failed, "the mail has no account"));
        };
        let owner = user::find(&self.db, id).await?;
        let owner = owner.filter(|owner| owner.is_active);
        if owner.is_none() && !kind.outlives_account() {
            return Ok(Prepared::ended(Cancelled, "no active account"));
        }
        let Some(content) = Content::notice(kind, mail, owner.as_ref()) else {
            return Ok(Prepared::ended(Cancelled, "the deletion was cancelled"));
        };
        if let Some(result) = self.exceeds_budget(mail, kind, id, owner.as_ref()).await? {
            return Ok(Prepared::Ended(result));
        }
        let language = match owner {
            Some(owner) => owner.language,
            None => mail.locale.parse().ok(),
        };
        Ok(Prepared::Notice(content, language))
    }
}
