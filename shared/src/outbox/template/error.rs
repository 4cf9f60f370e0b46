//! Errors of templates.

use std::{error::Error as _, fmt};

use minijinja::Error;

/// An error in a template: where it is and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct TemplateError {
    /// The path of the file, or the name of an embedded template.
    pub file: String,
    /// The line, from 1, if the error is in a line.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            problem,
        } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: {problem}"),
            None => write!(f, "{file}: {problem}"),
        }
    }
}

impl TemplateError {
    /// Creates the error of a whole file.
    pub(super) fn of_file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            problem: problem.into(),
        }
    }

    /// Describes an error of a template in the words of the engine. They can contain values of the mail: for sample values only.
    pub(super) fn detailed(error: &Error, template: &str) -> Self {
        let error = innermost(error);
        let problem = error.detail().map_or_else(
            || error.kind().to_string(),
            |detail| format!("{}: {detail}", error.kind()),
        );
        Self {
            file: error.name().unwrap_or(template).to_owned(),
            line: error.line(),
            problem,
        }
    }

    /// Describes an error of a template without values of the mail.
    pub(super) fn without_values(error: &Error, template: &str) -> Self {
        let error = innermost(error);
        Self {
            file: error.name().unwrap_or(template).to_owned(),
            line: error.line(),
            problem: error.kind().to_string(),
        }
    }
}

/// Returns the error in the template where it happened, which others include.
fn innermost(error: &Error) -> &Error {
    fn cause(error: &Error) -> Option<&Error> {
        error.source()?.downcast_ref()
    }
    let causes = std::iter::successors(Some(error), |error| cause(error));
    causes
        .filter(|error| error.line().is_some())
        .last()
        .unwrap_or(error)
}

/// The errors of a set of templates, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateErrors(pub Vec<TemplateError>);

impl fmt::Display for TemplateErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
