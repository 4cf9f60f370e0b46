//! Detects that the files of an open SQLite database were moved, deleted or replaced, or that the database file was truncated.
//!
//! SQLite continues to use the files that it has opened. Other programs and the next start open the files at their paths, and so
//! lack what is written into others.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use sea_orm::{
    DbErr,
    sqlx::{self, sqlite::SqlitePoolOptions},
};

use crate::database::error::{file_empty, file_moved, log_lost};

/// The files of an open database. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct SqliteFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: OpenFile,
    /// The path of the database file with all links resolved. SQLite creates the log beside it.
    resolved: PathBuf,
    /// The write-ahead log (`-wal`) and its index (`-shm`), while they are known.
    log: RwLock<Option<[OpenFile; 2]>>,
}

/// A file with its identity when it was opened.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl OpenFile {
    fn new(path: PathBuf) -> Option<Self> {
        Some(Self {
            device_and_inode: Self::identify(&path)?,
            path,
        })
    }

    fn identify(path: &Path) -> Option<(u64, u64)> {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    fn is_in_place(&self) -> bool {
        Self::identify(&self.path) == Some(self.device_and_inode)
    }
}

impl SqliteFiles {
    /// Identifies the database file. Returns `None` if there is none.
    pub(super) fn new(path: &str) -> Option<Self> {
        Some(Self(Arc::new(Inner {
            database: OpenFile::new(path.into())?,
            resolved: fs::canonicalize(path).ok()?,
            log: RwLock::default(),
        })))
    }

    /// Returns the path of the database file.
    pub(super) fn path(&self) -> &Path {
        &self.0.database.path
    }

    /// Identifies the log and its index. Call it right after a connection has opened them.
    pub(super) fn identify_log(&self) {
        let open = |suffix: &str| OpenFile::new(beside(&self.0.resolved, suffix));
        let log = open("-wal").zip(open("-shm"));
        let mut known = self.0.log.write().unwrap_or_else(PoisonError::into_inner);
        *known = log.map(|(log, index)| [log, index]);
    }

    /// Returns whether the log itself is the file that was opened, so that only its index may be lost.
    pub(super) fn is_log_in_place(&self) -> bool {
        let log = self.0.log.read().unwrap_or_else(PoisonError::into_inner);
        log.as_ref().is_some_and(|[log, _]| log.is_in_place())
    }

    /// Checks that the database file was not truncated to 0 bytes. SQLite itself reports a lock, as a new connection cannot begin a
    /// new log while others use the old one.
    fn check_content(&self) -> Result<(), DbErr> {
        match size(&self.0.database.path) {
            Some(0) => Err(file_empty()),
            _ => Ok(()),
        }
    }

    /// Checks that the file at the path of the database is the one that was opened.
    pub(super) fn check_identity(&self) -> Result<(), DbErr> {
        if self.0.database.is_in_place() {
            Ok(())
        } else {
            Err(file_moved())
        }
    }

    /// Lets a pool refuse a connection that it has opened to another file at the path: one that was put there after the caller's
    /// check. The pool tries again until its timeout.
    pub(super) fn refuse_others(self, pool: SqlitePoolOptions) -> SqlitePoolOptions {
        pool.after_connect(move |_, _| {
            let checked = self.check_identity();
            let checked = checked.map_err(|error| sqlx::Error::Protocol(error.to_string()));
            Box::pin(async move { checked })
        })
    }

    /// Checks that all files are those that were opened, and that the database file has content.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        self.check_identity()?;
        self.check_content()?;
        let log = self.0.log.read().unwrap_or_else(PoisonError::into_inner);
        match &*log {
            Some(files) if files.iter().all(OpenFile::is_in_place) => Ok(()),
            _ => Err(log_lost()),
        }
    }
}

/// Returns whether a database file is empty although its write-ahead log is not: another program truncated it. SQLite deletes such a
/// log, and with it perhaps the only copy of the data, when it opens the file.
pub(super) fn is_truncated(path: &Path) -> bool {
    let log = fs::canonicalize(path).map(|resolved| beside(&resolved, "-wal"));
    size(path) == Some(0) && log.is_ok_and(|log| size(&log).is_some_and(|bytes| bytes > 0))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path: OsString = path.into();
    path.push(suffix);
    path.into()
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|it| it.len())
}
