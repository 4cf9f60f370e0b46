//! Checks the second factor that a client sends: a TOTP code or a recovery code.

use latchkey_shared::{
    crypto::token_hash::TokenHash,
    database::Transaction,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        recovery_code, totp_secret, user,
    },
    outbox::QueuedMail,
    redis::one_time_code::Otp,
    types::validation_error::Invalid,
};
use sea_orm::DbErr;

use crate::{
    app_state::App,
    auth::{
        one_time_code::TypedCode,
        second_factor::{
            enrolment,
            recovery_code::RecoveryCode,
            totp::{self, TotpMatch, TotpSecret},
        },
    },
    http::{
        audit_context::AuditContext,
        body::fields::{self, Fields},
        error::{ApiError, ClockError},
    },
    rate_limit::Limit,
};

/// The second factor that a client sends.
pub enum SentFactor {
    /// The field `code`.
    Totp(Otp),
    /// The field `recovery_code`.
    RecoveryCode(RecoveryCode),
    /// Either field with a text that cannot be right.
    Malformed,
}

/// A second factor that is right. [`ProvedFactor::consume`] uses it up.
#[derive(Clone, Debug)]
pub enum ProvedFactor {
    /// The code of this time step.
    Totp(i64),
    /// A recovery code, by its hash.
    RecoveryCode(TokenHash),
}

impl SentFactor {
    /// Reads the field `code` or `recovery_code`. Exactly one of them is required.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let code = fields.optional::<TypedCode>("code");
        let recovery_code = fields.optional::<String>("recovery_code");
        let (Ok(code), Ok(recovery_code)) = (code, recovery_code) else {
            // A text that is too long to be a code.
            return Ok(Self::Malformed);
        };
        let malformed = |_| Ok(Self::Malformed);
        match (code, recovery_code) {
            (Some(code), None) => code.read(totp::DIGITS).map(Self::Totp).or_else(malformed),
            (None, Some(code)) => fields::read(&code)
                .map(Self::RecoveryCode)
                .or_else(malformed),
            _ => {
                let detail = "Send either code or recovery_code.";
                Err(ApiError::invalid_field(
                    "code",
                    Invalid::new("required", detail),
                ))
            }
        }
    }
}

impl ProvedFactor {
    /// Returns the name in the audit log.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Totp(_) => "totp",
            Self::RecoveryCode(_) => "recovery code",
        }
    }

    /// Uses the factor up, so that it is accepted once: fails if a concurrent request was first. A recovery code causes a mail to the
    /// owner.
    pub async fn consume(
        &self,
        app: &App,
        transaction: &Transaction,
        user: &user::Model,
        audit: &AuditContext,
    ) -> Result<Option<QueuedMail>, ApiError> {
        let is_used = match self {
            Self::Totp(step) => totp_secret::use_step(transaction, user.id, *step).await?,
            Self::RecoveryCode(hash) => {
                recovery_code::use_code(transaction, user.id, hash, app.now()).await?
            }
        };
        if !is_used {
            return Err(ApiError::InvalidSecondFactor(None));
        }
        Ok(match self {
            Self::Totp(_) => None,
            Self::RecoveryCode(_) => {
                let kind = MailKind::RecoveryCodeUsed;
                Some(enrolment::notify(app, transaction, kind, user, audit).await?)
            }
        })
    }
}

/// Checks a second factor of an account. Attempts are counted first and atomically, so that parallel guesses gain nothing. The caller
/// uses the factor up in the transaction of its action. `event` is recorded if the factor is wrong.
pub async fn check(
    app: &App,
    user: &user::Model,
    sent: SentFactor,
    event: Event,
    audit: &AuditContext,
) -> Result<ProvedFactor, ApiError> {
    let attempt = app.count_attempt(audit, Limit::SecondFactor(user)).await?;
    let proved = match sent {
        SentFactor::Totp(code) => check_totp(app, user, &code).await?,
        SentFactor::RecoveryCode(code) => check_recovery_code(app, user, &code).await?,
        // No guess, so no attempt either: the guard refunds it.
        SentFactor::Malformed => return Err(refuse(app, event, None).await?),
    };
    attempt.commit();
    match proved {
        Ok(proved) => {
            app.limits.reset_second_factor_failures(user.id).await?;
            Ok(proved)
        }
        Err(clock) => Err(refuse(app, event, clock).await?),
    }
}

/// Records a wrong factor, and returns its error.
async fn refuse(app: &App, event: Event, clock: Option<ClockError>) -> Result<ApiError, ApiError> {
    tracing::info!(user.id = event.user_id, "Second factor refused");
    app.record(event).await?;
    Ok(ApiError::InvalidSecondFactor(clock))
}

/// Returns the audit event about a wrong factor of a logged-in user.
pub fn wrong_factor(user: &user::Model, audit: &AuditContext) -> Event {
    Event {
        detail: Some("second factor".to_owned()),
        ..audit.own(EventKind::CodeFail, user.id)
    }
}

async fn check_totp(
    app: &App,
    user: &user::Model,
    code: &Otp,
) -> Result<Result<ProvedFactor, Option<ClockError>>, ApiError> {
    let Some(stored) = totp_secret::find_confirmed(&app.db, user.id).await? else {
        return Ok(Err(None));
    };
    let secret = open(app, &stored)?;
    let now = app.now();
    Ok(match secret.check(code, now, stored.last_step) {
        TotpMatch::Accepted(step) => Ok(ProvedFactor::Totp(step)),
        TotpMatch::ClockWrong(step) => {
            // The answer tells a client that the code is that of another time, so the code must not be accepted at that time.
            totp_secret::use_step(&app.db, user.id, step).await?;
            Err(Some(ClockError(totp::clock_error(step, now))))
        }
        TotpMatch::Wrong => Err(None),
    })
}

/// Decrypts a stored secret.
pub fn open(app: &App, stored: &totp_secret::Model) -> Result<TotpSecret, ApiError> {
    let opened = stored.secret(&app.totp_seal);
    opened.map(TotpSecret::new).map_err(|error| {
        ApiError::Internal(format!(
            "the TOTP secret of account {}: {error}",
            stored.user_id
        ))
    })
}

async fn check_recovery_code(
    app: &App,
    user: &user::Model,
    code: &RecoveryCode,
) -> Result<Result<ProvedFactor, Option<ClockError>>, DbErr> {
    let hash = code.hash(&app.token_hasher, user.id);
    let is_unused = recovery_code::is_unused(&app.db, user.id, &hash).await?;
    Ok(if is_unused {
        Ok(ProvedFactor::RecoveryCode(hash))
    } else {
        Err(None)
    })
}
