//! One attempt to deliver a claimed mail.

use latchkey_shared::{
    models::{
        mail::{self, MailKind, MailState},
        password_reset,
    },
    outbox::template::{Code, Content, RenderedMail},
    redis::one_time_code::Otp,
    types::email::Email,
};
use sea_orm::DbErr;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    delivery::{
        Inner, LEASE,
        compose::{self, Envelope},
        outcome::DeliveryResult,
        prepare::Prepared,
        slots::SlotPermit,
        smtp_rate_limit::RateDecision,
    },
    transport::{
        SendError,
        redaction::{hide_code, redact, shorten},
    },
};

impl Inner {
    /// Prepares a mail, waits for its conversation and sends it.
    pub(super) async fn attempt(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
    ) -> Result<DeliveryResult, DbErr> {
        if mail.deliver_before <= self.clock.now() {
            return Ok(DeliveryResult::expired());
        }
        let Ok(kind) = mail.kind.parse::<MailKind>() else {
            return Ok(DeliveryResult::ended(
                MailState::Failed,
                "unknown kind of mail",
            ));
        };
        let Ok(recipient) = mail.recipient.parse::<Email>() else {
            return Ok(DeliveryResult::ended(
                MailState::Failed,
                "invalid recipient",
            ));
        };
        let mut prepared = self.prepare(mail, kind).await?;
        if let Prepared::Ended(result) = prepared {
            return Ok(result);
        }
        let permit = match self.wait_for_conversation(mail).await {
            Ok(permit) => permit,
            Err(result) => return Ok(result),
        };
        // During a long wait the claim may expire, the account be deactivated, or the reset end.
        let now = self.clock.now();
        if mail.claimed_until.is_none_or(|until| until <= now) {
            if !mail::extend_claim(&self.db, mail.id, claimant, now + LEASE).await? {
                return Ok(DeliveryResult::ClaimLost);
            }
            prepared = self.prepare(mail, kind).await?;
        }
        self.send_prepared(mail, claimant, prepared, recipient, permit)
            .await
    }

    /// Renders a prepared mail in the language of its account and sends it.
    async fn send_prepared(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
        prepared: Prepared,
        recipient: Email,
        permit: SlotPermit,
    ) -> Result<DeliveryResult, DbErr> {
        let now = self.clock.now();
        let (content, language, reset, to) = match prepared {
            Prepared::Code(code, reset, recipient, language) => {
                let content = Content::Code {
                    kind: MailKind::of_code(reset.purpose),
                    code: Code::Shown(code),
                    at: reset.created_at,
                    device: reset.device.clone(),
                    lifetime: reset.code_expiry(now, self.otp_lifetime) - now,
                };
                (content, language, Some(reset), recipient)
            }
            Prepared::Notice(content, language) => (content, language, None, recipient),
            Prepared::Ended(result) => return Ok(result),
        };
        let rendered = self
            .templates
            .render(&content, &self.branding, language.as_ref());
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(error) => return Ok(DeliveryResult::Retry(format!("template error: {error}"))),
        };
        self.store_recipient(mail, claimant, &to).await?;
        Ok(self
            .send(mail, &to, &content, rendered, reset, permit)
            .await)
    }

    /// Updates the recipient in the row to the address that the mail goes to.
    async fn store_recipient(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
        to: &Email,
    ) -> Result<(), DbErr> {
        if to.as_str() != mail.recipient {
            mail::set_recipient(&self.db, mail.id, claimant, to).await?;
            mail.recipient = to.to_string();
            mail.recipient_key = to.key();
        }
        Ok(())
    }

    /// Waits for a free conversation and for the SMTP rate limit. The mail may expire during the wait.
    async fn wait_for_conversation(
        &self,
        mail: &mail::Model,
    ) -> Result<SlotPermit, DeliveryResult> {
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(DeliveryResult::Released),
            permit = self.conversations.acquire(mail.priority()) => permit,
        };
        if let Some(rate) = &self.limits.rate {
            match rate.acquire(mail.priority(), &self.stop).await {
                Ok(RateDecision::Allowed) => {}
                Ok(RateDecision::Stopped) => return Err(DeliveryResult::Released),
                Err(error) => {
                    return Err(DeliveryResult::redis_unavailable("no rate limit", &error));
                }
            }
        }
        if mail.deliver_before <= self.clock.now() {
            return Err(DeliveryResult::expired());
        }
        Ok(permit)
    }

    async fn send(
        &self,
        mail: &mail::Model,
        to: &Email,
        content: &Content,
        rendered: RenderedMail,
        reset: Option<password_reset::Model>,
        permit: SlotPermit,
    ) -> DeliveryResult {
        let envelope = Envelope {
            to: compose::address(to),
            from: self.from.clone(),
            message_id: &mail.message_id,
            date: self.clock.now(),
        };
        let message = match compose::message(rendered, envelope) {
            Ok(message) => message,
            Err(error) => {
                let reason = format!("invalid message: {error}");
                return DeliveryResult::Ended(MailState::Failed, reason);
            }
        };
        let started = Instant::now();
        let remaining = (mail.deliver_before - self.clock.now()).to_std();
        let sent = self
            .transport
            .send(mail.id, &message, remaining.unwrap_or_default())
            .await;
        drop(permit);
        self.metrics.record_conversation(&sent, started.elapsed());
        match sent {
            Ok(()) => DeliveryResult::Sent(reset),
            Err(error) => DeliveryResult::SendFailed(SendError {
                reply: redact_reply(&error.reply, mail, content),
                ..error
            }),
        }
    }
}

/// Removes the recipient and the code from the text of a reply. Servers often repeat the recipient, and some repeat the subject.
fn redact_reply(text: &str, mail: &mail::Model, content: &Content) -> String {
    let (text, secrets) = match content {
        Content::Code {
            code: Code::Shown(code),
            ..
        } => {
            let code = Otp::expose(code);
            (hide_code(text, code), vec![code.to_owned()])
        }
        _ => (text.to_owned(), Vec::new()),
    };
    let local_part = mail.recipient.rsplit_once('@').map(|(local, _)| local);
    shorten(&redact(&text, &secrets, local_part.as_slice()))
}
