//! The rules for new passwords.

use latchkey_shared::types::validation_error::Invalid;

use crate::passwords::{
    NewPassword, Password,
    breached::BreachedPasswords,
    common::Forms,
    similarity::{self, Known, Owner, readings},
};
use crate::{
    config::{Config, passwords::MIN_PASSWORD_LENGTH},
    http::error::ApiError,
};

/// The rules for new passwords.
#[derive(Debug)]
pub struct PasswordPolicy {
    /// `PASSWORD_MIN_LENGTH`: minimum length, in characters after NFKC.
    pub min_length: usize,
    installation: Vec<Known>,
    breached: Option<BreachedPasswords>,
}

/// The rules with default settings and without the names of an installation.
impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: MIN_PASSWORD_LENGTH,
            installation: Vec::new(),
            breached: None,
        }
    }
}

impl PasswordPolicy {
    /// Creates the rules of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let common = &config.common;
        Self {
            min_length: config.passwords.min_length,
            installation: Known::of_installation(
                &common.mail_branding.product,
                common.public_url.host().as_ref(),
            ),
            breached: config
                .passwords
                .breached_file
                .as_ref()
                .map(|(path, length)| BreachedPasswords::new(path, *length)),
        }
    }

    /// Accepts a password of an account, or returns the reason why not. Reads `BREACHED_PASSWORDS_FILE` last.
    pub async fn accept(
        &self,
        password: Password,
        owner: Owner<'_>,
    ) -> Result<Result<NewPassword, Invalid>, ApiError> {
        if let Err(invalid) = self.check(&password, Some(owner)) {
            return Ok(Err(invalid));
        }
        if let Some(breached) = &self.breached
            && breached.contain(&password).await?
        {
            return Ok(Err(Invalid::new(
                "breached",
                "This password was in a data breach.",
            )));
        }
        Ok(Ok(NewPassword(password)))
    }

    /// Checks the rules that need no file. Without an owner, skips the comparison with the account's data.
    pub fn check(&self, password: &Password, owner: Option<Owner<'_>>) -> Result<(), Invalid> {
        let length = password.normalized.chars().count();
        if length < self.min_length {
            let least = format!("At least {} characters.", self.min_length);
            return Err(Invalid::new("too_short", least));
        }
        let readings = readings(&password.normalized);
        let forms = Forms::of(&readings);
        let mut known = owner.map(Owner::known).unwrap_or_default();
        known.extend_from_slice(&self.installation);
        if let Some(what) = similarity::resembled(&readings, &forms, &known) {
            return Err(Invalid::new(
                "too_similar",
                format!("Too similar to the {what}."),
            ));
        }
        if forms.are_common() {
            return Err(Invalid::new(
                "too_common",
                "This is one of the most common passwords, or made of one.",
            ));
        }
        Ok(())
    }
}
