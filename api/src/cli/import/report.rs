//! The report of an import: a file of JSON lines.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;

use crate::{cli::private_file, import::outcome::Outcome};

/// The file of a report. It is private, because it tells which accounts exist.
pub(super) struct Report(File);

impl Report {
    /// Creates or replaces the file.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = private_file::replace(path);
        let file = file.with_context(|| format!("--report: cannot write {}", path.display()))?;
        Ok(Self(file))
    }

    /// Writes the line of a row. Each is written at once, so that the report of an interrupted run is complete.
    pub(super) fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        let line = serde_json::to_string(outcome).map_err(io::Error::other)?;
        self.0.write_all(format!("{line}\n").as_bytes())
    }
}
