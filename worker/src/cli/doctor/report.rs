//! The findings of `doctor` and how they are printed.

use std::fmt::{Display, Write as _};

use latchkey_shared::dependency::Refusal;
use serde_json::json;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// No problem.
    Ok,
    /// The worker works, but data may be lost or mails may be late.
    Warning,
    /// The worker cannot work.
    Failure,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// The result of one check.
#[derive(Debug)]
pub struct Finding {
    /// The checked part: `smtp`, `mails`, `redis`, `database` or `clock`.
    pub subject: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The observation.
    pub message: String,
    /// What the operator should do; empty if nothing.
    pub remedy: String,
}

/// The findings of all checks.
#[derive(Debug, Default)]
pub struct Report(pub(super) Vec<Finding>);

impl Report {
    fn add(
        &mut self,
        subject: &'static str,
        severity: Severity,
        message: impl Display,
        remedy: &str,
    ) {
        self.0.push(Finding {
            subject,
            severity,
            message: message.to_string(),
            remedy: remedy.to_owned(),
        });
    }

    pub(super) fn ok(&mut self, subject: &'static str, message: impl Display) {
        self.add(subject, Severity::Ok, message, "");
    }

    pub(super) fn warn(&mut self, subject: &'static str, message: impl Display, remedy: &str) {
        self.add(subject, Severity::Warning, message, remedy);
    }

    pub(super) fn fail(&mut self, subject: &'static str, message: impl Display, remedy: &str) {
        self.add(subject, Severity::Failure, message, remedy);
    }

    /// Adds a failed health check, with the same words and remedy as in health responses and logs. A problem that fails several
    /// checks is added once.
    pub(super) fn refusal(&mut self, subject: &'static str, refusal: &Refusal) {
        let Refusal {
            cause, diagnosis, ..
        } = refusal;
        let is_same = |it: &Finding| {
            it.subject == subject
                && it.severity == Severity::Failure
                && it.remedy == diagnosis.remedy
        };
        if self.0.iter().any(is_same) {
            return;
        }
        let message = format!("{}: {cause}", diagnosis.word);
        self.fail(subject, message, diagnosis.remedy);
    }

    /// Returns whether no check failed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.iter().all(|it| it.severity != Severity::Failure)
    }

    /// Formats the report for a terminal: a line for each finding, and another for its remedy.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, it| {
            let severity = it.severity.as_str();
            let _ = writeln!(text, "{severity:8} {:9} {}", it.subject, it.message);
            if !it.remedy.is_empty() {
                let _ = writeln!(text, "{:18} → {}", "", it.remedy);
            }
            text
        })
    }

    /// Formats the report for scripts: a JSON object per line.
    #[must_use]
    pub fn json(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, it| {
            let finding = json!({
                "subject": it.subject,
                "severity": it.severity.as_str(),
                "message": it.message,
                "remedy": it.remedy,
            });
            let _ = writeln!(text, "{finding}");
            text
        })
    }
}
