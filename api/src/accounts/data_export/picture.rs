//! The profile picture of an export.

use poem_openapi::Object;

/// A profile picture.
#[derive(Debug, Object)]
pub(super) struct ExportedPicture {
    /// The name of the file.
    pub(super) name: String,
    /// The media type of the file.
    pub(super) media_type: String,
    /// The file as a data URL (RFC 2397), in base64.
    pub(super) data: String,
}
