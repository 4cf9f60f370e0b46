//! Requests for a one-time code.

use latchkey_shared::{
    models::password_reset::{NewReset, Purpose},
    outbox::NewMail,
    types::email::Email,
};
use uuid::Uuid;

use crate::{app_state::App, auth::jwt::ResetToken, http::audit_context::AuditContext};

/// A request for a code. Its row and its mail are to be stored in one transaction.
pub struct CodeRequest {
    /// The token for the client.
    pub token: ResetToken,
    /// The row of the request.
    pub reset: NewReset,
    /// The mail with the code.
    pub mail: NewMail,
}

impl CodeRequest {
    /// Creates a request. Does not store it.
    #[must_use]
    pub fn new(app: &App, purpose: Purpose, email: &Email, audit: &AuditContext) -> Self {
        let (id, token, now) = (Uuid::now_v7(), ResetToken::generate(), app.now());
        let lifetime = app.config.accounts.reset_lifetime;
        let reset = NewReset {
            id,
            email: email.key(),
            token_hash: app.token_hasher.hash(token.expose()),
            created_at: now,
            lifetime,
            purpose,
            device: audit.known_device(),
            user_id: None,
            new_email: None,
        };
        let mail = app
            .outbox
            .code(id, purpose, email, audit.request_id(), now, lifetime)
            .with_customer_network(audit.client_ip.customer_network());
        Self { token, reset, mail }
    }

    /// Creates a request for a code that confirms an email of an account. Does not store it.
    #[must_use]
    pub fn of_email(app: &App, user_id: i64, email: &Email, audit: &AuditContext) -> Self {
        let mut request = Self::new(app, Purpose::EmailChange, email, audit);
        request.reset.user_id = Some(user_id);
        request.reset.new_email = Some(email.clone());
        request
    }
}
