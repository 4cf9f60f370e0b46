//! Why a text is not the thing it should be.

/// One reason against a value: a stable code for programs and a sentence for people. Neither repeats the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// For example `too_long`.
    pub code: &'static str,
    /// For example `At most 45 characters.`
    pub detail: String,
}

impl Invalid {
    /// A reason with its code.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// Refuses control characters, and with them every line break (also U+2028 and U+2029): they have no place in a name or
/// an address and forge lines in logs and mail headers.
pub(crate) fn no_control_characters(text: &str) -> Result<(), Invalid> {
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(Invalid::new(
            "control_characters",
            "Control characters are not allowed.",
        ));
    }
    Ok(())
}
