//! Problems of dependencies, in a form that the log, the health checks and `doctor` share.

use std::fmt;

use tokio::sync::watch;

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

/// Failures of a dependency that many tasks meet at once. The tasks report them here instead of logging them, and a health check
/// follows, which logs the beginning and the end of an outage once. Clones report to the same followers.
#[derive(Clone, Default)]
pub struct FailureReports(watch::Sender<Option<Refusal>>);

impl FailureReports {
    /// Reports a failure.
    pub fn report(&self, refusal: Refusal) {
        self.0.send_replace(Some(refusal));
    }

    /// Returns a follower of the failures from now on.
    #[must_use]
    pub fn follow(&self) -> FailureFollower {
        FailureFollower(self.0.subscribe())
    }
}

/// Waits for reported failures.
pub struct FailureFollower(watch::Receiver<Option<Refusal>>);

impl FailureFollower {
    /// Returns the next failure, the latest of several. Returns `None` once all [`FailureReports`] are dropped.
    pub async fn next(&mut self) -> Option<Refusal> {
        self.0.changed().await.ok()?;
        self.0.borrow_and_update().clone()
    }

    /// Skips the failures that were reported until now.
    pub fn skip_reported(&mut self) {
        self.0.mark_unchanged();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::fault;

    #[tokio::test]
    async fn failures_skipped_are_not_returned() {
        let reports = FailureReports::default();
        let mut follower = reports.follow();
        for text in ["OOM", "MISCONF"] {
            reports.clone().report(fault::from_text(text));
        }
        follower.skip_reported();
        reports.report(fault::from_text("LOADING"));

        assert_eq!(follower.next().await.unwrap().cause, "LOADING");

        drop(reports);
        assert!(follower.next().await.is_none());
    }
}
