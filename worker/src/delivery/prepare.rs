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
use url::Url;

use crate::delivery::{
    Inner, batches::BoundReset, mail_budget::Recipient, outcome::DeliveryResult,
};

/// A mail that is ready to be composed, or the result of one that must not be sent.
pub(super) enum Prepared {
    /// The code, its request, the address that it goes to, and the language of the account.
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

    /// Finds the account of a request and creates its code. The API writes resets without looking up accounts. The code goes to a
    /// stored address, whatever spelling the request used.
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
        let recipient = reset.recipient(&owner).map(|it| it.as_str().parse());
        let Some(Ok(recipient)) = recipient else {
            return Ok(Prepared::ended(Failed, "invalid recipient"));
        };
        if reset.purpose == Purpose::EmailChange
            && user::is_taken(&self.db, &recipient, owner.id, now).await?
        {
            let reason = "the email has another account";
            return Ok(Prepared::ended(Cancelled, reason));
        }
        let recipient_key = recipient.key();
        if recipient_key != *reset.mailbox() {
            password_reset::set_recipient(&self.db, id, &recipient_key).await?;
        }
        let to = Recipient {
            account_id: owner.id,
            owner: Some(&owner),
            email: &recipient,
        };
        if let Some(result) = self.exceeds_budget(mail, kind, to).await? {
            return Ok(Prepared::Ended(result));
        }
        let code = self.codes.get_or_create(id, reset.expires_at - now).await;
        Ok(match code {
            Ok(code) => Prepared::Code(code, reset, recipient, owner.language),
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
        let Ok(recipient) = mail.recipient.parse::<Email>() else {
            return Ok(Prepared::ended(Failed, "invalid recipient"));
        };
        let cancel_url = self.cancel_url(mail, kind);
        let Some(content) = Content::notice(kind, mail, owner.as_ref(), cancel_url) else {
            return Ok(Prepared::ended(Cancelled, "the deletion was cancelled"));
        };
        let to = Recipient {
            account_id: id,
            owner: owner.as_ref(),
            email: &recipient,
        };
        if let Some(result) = self.exceeds_budget(mail, kind, to).await? {
            return Ok(Prepared::Ended(result));
        }
        let language = match owner {
            Some(owner) => owner.language,
            None => mail.locale.parse().ok(),
        };
        Ok(Prepared::Notice(content, language))
    }

    /// Returns the link that cancels the change of an email, in the notice about it.
    fn cancel_url(&self, mail: &mail::Model, kind: MailKind) -> Option<Url> {
        let request = mail
            .reset_id
            .filter(|_| kind == MailKind::EmailChangeRequested)?;
        let token = self.tokens.cancel_token(request);
        let url = format!("{}/admin/cancel-email/?token={token}", self.base_url);
        url.parse().ok()
    }
}
