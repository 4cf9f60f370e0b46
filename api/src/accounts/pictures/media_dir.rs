//! Atomic writes to `MEDIA_DIR`, and the diagnosis of failed ones.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use latchkey_shared::dependency::{Diagnosis, Refusal};

use crate::http::error::ApiError;

/// The extension of a file whose write is not complete.
pub const PARTIAL: &str = "partial";

/// The file of a write check. Several APIs may write and remove it at the same time.
const CHECK_FILE: &str = ".health-check";
/// Number of bytes that a check writes: a block of most file systems.
const CHECK_SIZE: usize = 4096;

/// Writes a file under a temporary name, syncs it and renames it. Removes the temporary file on an error.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = folder.join(name);
    let partial = file.with_extension(PARTIAL);
    let written = write_synced(&partial, bytes).and_then(|()| fs::rename(&partial, file));
    if written.is_err() {
        // Fails if the file was not created.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Checks that pictures can be stored: writes and removes a small file.
pub fn check_write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = folder.join(CHECK_FILE);
    let written = write_synced(&file, &[1; CHECK_SIZE]);
    match fs::remove_file(&file) {
        // Another API's check was faster.
        Err(error) if error.kind() != ErrorKind::NotFound => written.and(Err(error)),
        _ => written,
    }
}

fn write_synced(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut writer = File::create(file)?;
    writer.write_all(bytes)?;
    writer.sync_all()
}

/// Describes a failed write to `MEDIA_DIR`.
#[must_use]
pub fn refusal(error: &io::Error) -> Refusal {
    let (word, remedy) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            "full",
            "free space on the disk of MEDIA_DIR; latchkey-api pictures prune removes unused pictures",
        ),
        ErrorKind::FileTooLarge => (
            "full",
            "raise the limit on the size of files (ulimit -f, LimitFSIZE=)",
        ),
        ErrorKind::ReadOnlyFilesystem => ("read-only", "mount the disk of MEDIA_DIR writable"),
        ErrorKind::PermissionDenied => (
            "not permitted",
            "make MEDIA_DIR writable for the user that runs latchkey-api",
        ),
        _ => (
            "fails",
            "check that MEDIA_DIR is a folder on a working disk",
        ),
    };
    Refusal {
        dependency: "MEDIA_DIR",
        cause: error.to_string(),
        diagnosis: Diagnosis { word, remedy },
    }
}

/// The API writes no files other than pictures.
impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        Self::Unavailable(refusal(&error).to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn media_file_is_there_whole() {
        let folder = tempfile::tempdir().unwrap();

        write(folder.path(), "a.png", b"picture").unwrap();

        assert_eq!(names(folder.path()), ["a.png"]);
    }

    /// `/dev/full` fails every write as a full disk does (full(4)).
    #[test]
    fn media_file_on_full_disk_leaves_no_partial() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/full", folder.path().join("a.partial")).unwrap();

        let error = write(folder.path(), "a.png", &vec![7; 100_000]).unwrap_err();

        assert_eq!(refusal(&error).diagnosis.word, "full");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn media_file_rename_fails_leaves_no_partial() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a.png/in-the-way")).unwrap();

        assert!(write(folder.path(), "a.png", b"picture").is_err());

        assert_eq!(names(folder.path()), ["a.png"]);
    }

    #[test]
    fn media_check_on_full_disk_fails_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        check_write(folder.path()).unwrap();
        symlink("/dev/full", folder.path().join(CHECK_FILE)).unwrap();

        let error = check_write(folder.path()).unwrap_err();

        assert_eq!(refusal(&error).diagnosis.word, "full");
        assert!(names(folder.path()).is_empty());
    }
}
