//! `MEDIA_DIR`: atomic writes, and the diagnosis of failed ones.
//!
//! Only the start of the server creates the folder. If its disk is unmounted later, a new folder would be below the mount point, and
//! its pictures would disappear when the disk is mounted again. An unmounted disk may also leave an empty folder, and some file
//! systems change device and inode at each mount. So a file with a random name identifies the folder.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use latchkey_shared::dependency::{Diagnosis, Refusal};
use uuid::Uuid;

use crate::{accounts::pictures::MAX_STORED_BYTES, http::error::ApiError};

/// The extension of a file whose write is not complete.
pub const PARTIAL: &str = "partial";

/// The subfolder with the id of the folder: the name of an empty file. A name, unlike a content, is never half written.
const ID_FOLDER: &str = ".id";
/// The file of a write check. Several APIs may write and remove it at the same time.
const CHECK_FILE: &str = ".health-check";

/// The folder of the pictures.
#[derive(Debug)]
pub struct MediaDir {
    path: PathBuf,
    /// The id file of the folder that this process used first.
    id: OnceLock<PathBuf>,
}

impl MediaDir {
    /// Describes a folder. Does not access it.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            id: OnceLock::new(),
        }
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the folder and its id, if they do not exist.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        self.check_id()
    }

    /// Checks that the folder is the one that this program has used first.
    ///
    /// # Errors
    /// `NotFound` if it is missing, or if another folder has its path.
    pub fn check_id(&self) -> io::Result<()> {
        let Some(id) = self.id.get() else {
            let id = get_or_create_id(&self.path)?;
            self.id.get_or_init(|| id);
            return Ok(());
        };
        if id.try_exists()? {
            Ok(())
        } else {
            let reason = "the folder is missing, or another one has its path";
            Err(io::Error::new(ErrorKind::NotFound, reason))
        }
    }

    /// Opens a file for reading, and returns it with its size. Returns `None` if there is none of this name.
    ///
    /// # Errors
    /// If the folder is missing or cannot be read, so that the file may exist.
    pub fn open(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        match File::open(self.path.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.check_id().map(|()| None),
            opened => {
                let file = opened?;
                let bytes = file.metadata()?.len();
                Ok(Some((file, bytes)))
            }
        }
    }

    /// Writes a file under a temporary name, syncs it and renames it. Removes the temporary file on an error.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.check_id()?;
        let file = self.path.join(name);
        let partial = file.with_extension(PARTIAL);
        let written = write_synced(&partial, bytes).and_then(|()| fs::rename(&partial, file));
        if written.is_err() {
            // Fails if the file was not created.
            let _ = fs::remove_file(&partial);
        }
        written
    }

    /// Checks that pictures can be stored: writes and removes a file of the maximum size of a picture, so that an almost full
    /// disk counts as full.
    pub fn check_write(&self) -> io::Result<()> {
        self.check_id()?;
        let file = self.path.join(CHECK_FILE);
        let written = write_synced(&file, &vec![1; MAX_STORED_BYTES]);
        match fs::remove_file(&file) {
            // Another API's check was faster.
            Err(error) if error.kind() != ErrorKind::NotFound => written.and(Err(error)),
            _ => written,
        }
    }
}

/// Returns the id file of a folder. API servers that start at the same time may create several. Each of them identifies the folder.
fn get_or_create_id(folder: &Path) -> io::Result<PathBuf> {
    let ids = folder.join(ID_FOLDER);
    match fs::read_dir(&ids) {
        Ok(mut entries) => {
            if let Some(entry) = entries.next() {
                return Ok(entry?.path());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::create_dir(&ids) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        },
        Err(error) => return Err(error),
    }
    let id = ids.join(Uuid::now_v7().simple().to_string());
    File::create(&id)?;
    Ok(id)
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
        ErrorKind::NotFound => (
            "missing",
            "mount the disk of MEDIA_DIR again, or put the folder back; if it was replaced on purpose, restart the API servers",
        ),
        ErrorKind::TimedOut => (
            "does not answer",
            "check the disk or network mount of MEDIA_DIR; it works again once the mount does, without a restart",
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

/// The API reads and writes no files other than pictures.
impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        refusal(&error).into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn open(folder: &TempDir) -> MediaDir {
        let media = MediaDir::new(folder.path());
        media.create().unwrap();
        media
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ID_FOLDER)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn media_file_is_there_whole() {
        let folder = tempfile::tempdir().unwrap();

        open(&folder).write("a.png", b"picture").unwrap();

        assert_eq!(names(&folder), ["a.png"]);
    }

    /// Two API servers share the folder, and a backup of it is the same folder.
    #[test]
    fn media_folder_id_is_shared_and_restored() {
        let root = tempfile::tempdir().unwrap();
        let (path, moved) = (root.path().join("media"), root.path().join("moved"));
        let (one, other) = (MediaDir::new(&path), MediaDir::new(&path));
        one.create().unwrap();
        other.create().unwrap();
        assert_eq!(one.id.get(), other.id.get());
        fs::rename(&path, &moved).unwrap();
        assert_eq!(one.check_id().unwrap_err().kind(), ErrorKind::NotFound);

        let id = one.id.get().unwrap();
        fs::create_dir_all(id.parent().unwrap()).unwrap();
        assert_eq!(one.check_id().unwrap_err().kind(), ErrorKind::NotFound);
        fs::copy(moved.join(id.strip_prefix(&path).unwrap()), id).unwrap();

        one.write("a.png", b"picture").unwrap();
        other.check_write().unwrap();
    }

    /// `/dev/full` fails every write as a full disk does (full(4)).
    #[test]
    fn media_file_on_full_disk_leaves_no_partial() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/full", folder.path().join("a.partial")).unwrap();

        let error = open(&folder).write("a.png", &vec![7; 100_000]).unwrap_err();

        assert_eq!(refusal(&error).diagnosis.word, "full");
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn media_file_rename_fails_leaves_no_partial() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a.png/in-the-way")).unwrap();

        assert!(open(&folder).write("a.png", b"picture").is_err());

        assert_eq!(names(&folder), ["a.png"]);
    }

    #[test]
    fn media_check_on_full_disk_fails_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let media = open(&folder);
        media.check_write().unwrap();
        symlink("/dev/full", folder.path().join(CHECK_FILE)).unwrap();

        let error = media.check_write().unwrap_err();

        assert_eq!(refusal(&error).diagnosis.word, "full");
        assert!(names(&folder).is_empty());
    }
}
