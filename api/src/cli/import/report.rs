//! The report of an import: a file of JSON lines.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Context as _;

use crate::import::outcome::Outcome;

/// The mode of the file: only its owner can read it.
const MODE: u32 = 0o600;

/// The file of a report. It is private, because it tells which accounts exist.
pub(super) struct Report(File);

impl Report {
    /// Creates or replaces the file.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file =
            create(path).with_context(|| format!("--report: cannot write {}", path.display()))?;
        Ok(Self(file))
    }

    /// Writes the line of a row. Each is written at once, so that the report of an interrupted run is complete.
    pub(super) fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        let line = serde_json::to_string(outcome).map_err(io::Error::other)?;
        self.0.write_all(format!("{line}\n").as_bytes())
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // The file is truncated only after its mode keeps other users from opening it.
    let file = options.write(true).create(true).truncate(false).mode(MODE);
    let file = file.open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.set_len(0)?;
    Ok(file)
}
