//! The error of an import.

use latchkey_shared::database;
use sea_orm::DbErr;

/// Why an import stopped. The accounts of earlier batches stay, and a further run continues.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read, or is no source.
    #[error("--from: {0}")]
    Source(String),
    /// The file cannot be read.
    #[error("the file: {0}")]
    File(std::io::Error),
    /// The folder of pictures cannot be read.
    #[error("--media: {0}")]
    Media(std::io::Error),
    /// A picture could not be stored.
    #[error("MEDIA_DIR: {0}")]
    Pictures(String),
    /// The report could not be written.
    #[error("--report: {0}")]
    Report(std::io::Error),
    /// A part of the import panicked.
    #[error("a part of the import failed")]
    Panicked,
    /// The database of this installation failed.
    #[error("the database: {}", database::describe(.0))]
    Database(#[from] DbErr),
}
