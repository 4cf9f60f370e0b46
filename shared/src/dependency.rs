//! Problems of dependencies, in a form that the log, the health checks and `doctor` share.

use std::fmt;

/// The kind of a problem: a fixed word for health checks, which are public, and a remedy for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// A fixed word, such as `read-only`. Contains no host, user or path.
    pub word: &'static str,
    /// What an operator can do.
    pub remedy: &'static str,
}

/// A dependency that cannot do its work. Displayed for the log, as one line with the remedy.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The dependency's name for operators: Redis, `MEDIA_DIR`, ….
    pub dependency: &'static str,
    /// The text of the error. It may contain host names, so it goes to the log and not to clients.
    pub cause: String,
    /// The kind of the problem.
    pub diagnosis: Diagnosis,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dependency,
            cause,
            diagnosis: Diagnosis { word, remedy },
        } = self;
        write!(f, "{dependency} ({word}): {cause} → {remedy}")
    }
}

impl std::error::Error for Refusal {}
