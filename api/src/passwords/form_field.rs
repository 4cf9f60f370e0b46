//! Passwords as fields of a form.

use std::str::FromStr as _;

use latchkey_shared::types::validation_error::Invalid;

use crate::{
    http::{
        body::fields::{Fields, FromField, InvalidField},
        error::ApiError,
    },
    passwords::{NewPassword, Owner, Password, PasswordPolicy},
};

impl FromField for Password {
    const MAX_BYTES: usize = Self::MAX_BYTES;
    const PRESERVE_WHITESPACE: bool = true;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Self::from_str(text)
    }
}

impl Fields {
    /// Judges a new password for its owner. Without an owner, whose fields were bad then, all that can be said is whether it
    /// is good for nobody.
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
        let judged = match owner {
            Some(owner) => policy.accept(password, owner).await?,
            None => match policy.check(&password, None) {
                Ok(()) => return Ok(Err(InvalidField)),
                Err(invalid) => Err(invalid),
            },
        };
        Ok(judged.map_err(|invalid| self.note(name, invalid)))
    }
}
