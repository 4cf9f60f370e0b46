//! The API tokens of an export.

use chrono::{DateTime, Utc};
use latchkey_shared::models::api_token::Model;
use poem_openapi::Object;

/// An API token.
#[derive(Debug, Object)]
pub(super) struct ExportedApiToken {
    /// The id of the token.
    id: String,
    /// The name that the owner chose.
    name: String,
    /// The permissions that the owner chose.
    permissions: Vec<String>,
    /// When the token was created.
    created_at: DateTime<Utc>,
    /// When the token expires.
    expires_at: DateTime<Utc>,
    /// The time of the last request with the token.
    last_used_at: Option<DateTime<Utc>>,
    /// When the token was revoked.
    revoked_at: Option<DateTime<Utc>>,
}

impl From<Model> for ExportedApiToken {
    fn from(row: Model) -> Self {
        let permissions = row.permissions.names();
        Self {
            id: row.id.to_string(),
            name: row.name.to_string(),
            permissions: permissions.into_iter().map(str::to_owned).collect(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}
