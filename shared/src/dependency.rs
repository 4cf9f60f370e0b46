//! Why a dependency refuses its work, in a form that the log, the health checks and `doctor` share.

use std::fmt;

/// One kind of refusal: a fixed word for health checks, which strangers may read, and what an operator does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// A fixed word, such as `read-only`. It names no host, user or path.
    pub word: &'static str,
    /// What an operator does about it.
    pub remedy: &'static str,
}

/// A refusal with its diagnosis. Displayed for the log, as one line with the remedy.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The dependency, as operators know it: Redis, `MEDIA_DIR`, ….
    pub dependency: &'static str,
    /// The error's own text. It may name hosts, so it goes to the log and not to clients.
    pub cause: String,
    /// Its diagnosis.
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
