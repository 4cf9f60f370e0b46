//! The report of an import: a file of JSON lines.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Context as _;

use crate::import::outcome::Outcome;

/// Only its owner reads the report: it tells which accounts exist.
const MODE: u32 = 0o600;

/// The file of a report.
pub(super) struct Report(File);

impl Report {
    /// Creates or replaces the file.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE);
        let file = options.open(path).and_then(|file| {
            file.set_permissions(Permissions::from_mode(MODE))
                .map(|()| file)
        });
        let file = file.with_context(|| format!("--report: cannot write {}", path.display()))?;
        Ok(Self(file))
    }

    /// Writes the line of a row. Each is written at once, so that the report of an interrupted run is complete.
    pub(super) fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        let line = serde_json::to_string(outcome).map_err(io::Error::other)?;
        self.0.write_all(format!("{line}\n").as_bytes())
    }
}
