//! Files that only their owner can read.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

const MODE: u32 = 0o600;

/// Creates a file. Fails if it exists.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE).open(path)
}

/// Creates a file, or empties one that exists.
pub(super) fn replace(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // The file is truncated only after its mode keeps other users from opening it.
    let file = options.write(true).create(true).truncate(false).mode(MODE);
    let file = file.open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.set_len(0)?;
    Ok(file)
}
