//! The second factors of an export.

use chrono::{DateTime, Utc};
use latchkey_shared::models::{
    recovery_code::Model as RecoveryCode, totp_secret::Model as TotpSecret,
};
use poem_openapi::Object;

/// An authenticator app.
#[derive(Debug, Object)]
pub(super) struct ExportedTotp {
    /// When the secret was created.
    created_at: DateTime<Utc>,
    /// When a code confirmed it.
    confirmed_at: Option<DateTime<Utc>>,
}

impl From<TotpSecret> for ExportedTotp {
    fn from(row: TotpSecret) -> Self {
        Self {
            created_at: row.created_at,
            confirmed_at: row.confirmed_at,
        }
    }
}

/// A recovery code.
#[derive(Debug, Object)]
pub(super) struct ExportedRecoveryCode {
    /// When the code was created.
    created_at: DateTime<Utc>,
    /// When the code was used.
    used_at: Option<DateTime<Utc>>,
}

impl From<RecoveryCode> for ExportedRecoveryCode {
    fn from(row: RecoveryCode) -> Self {
        Self {
            created_at: row.created_at,
            used_at: row.used_at,
        }
    }
}
