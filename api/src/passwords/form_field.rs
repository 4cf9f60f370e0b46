//! Passwords as form fields.

use std::str::FromStr as _;

use latchkey_shared::types::validation_error::Invalid;

use crate::{
    http::{
        body::fields::{Fields, FromField, InvalidField},
        error::ApiError,
    },
    passwords::{CurrentPassword, NewPassword, Owner, Password, PasswordPolicy},
};

impl FromField for Password {
    const MAX_BYTES: usize = Self::MAX_BYTES;
    const PRESERVE_WHITESPACE: bool = true;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Self::from_str(text)
    }
}

impl FromField for CurrentPassword {
    const MAX_BYTES: usize = Password::MAX_BYTES;
    const PRESERVE_WHITESPACE: bool = true;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Self::from_str(text)
    }
}

impl Fields {
    /// Checks a new password against the policy. Without an owner (another field is invalid), checks only the rules that need
    /// none, and accepts no password.
    pub async fn judge_password(
        &mut self,
        name: &str,
        password: Result<Password, InvalidField>,
        policy: &PasswordPolicy,
        owner: Option<Owner<'_>>,
    ) -> Result<Result<NewPassword, InvalidField>, ApiError> {
        let Ok(password) = password else {
            return Ok(Err(InvalidField));
        };
        let checked = match owner {
            Some(owner) => policy.accept(password, owner).await?,
            None => match policy.check(&password, None) {
                Ok(()) => return Ok(Err(InvalidField)),
                Err(invalid) => Err(invalid),
            },
        };
        Ok(checked.map_err(|invalid| self.add_error(name, invalid)))
    }
}
