//! The error of a value that does not parse.

/// Why a value is invalid: a stable code for programs and a sentence for users. Neither contains the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// The code, such as `too_long`.
    pub code: &'static str,
    /// The sentence, such as `At most 45 characters.`
    pub detail: String,
}

impl Invalid {
    /// Creates an error.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// Refuses control characters and line separators (U+2028, U+2029), because they would forge lines in logs and mail headers.
pub(crate) fn no_control_characters(text: &str) -> Result<(), Invalid> {
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(Invalid::new(
            "control_characters",
            "Control characters are not allowed.",
        ));
    }
    Ok(())
}
