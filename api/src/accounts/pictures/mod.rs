//! Profile pictures: avatars that are decoded, scaled down and encoded anew, so that nothing of the uploaded file survives but
//! its pixels (A2), and what is stored is bounded by its purpose (C3).
//!
//! [`PictureStore::read`] makes a [`Picture`] of an [`Upload`], [`PictureStore::save`] stores it, [`PictureStore::open`] serves
//! it. Decoding is in `decode`, its limits in `queue`, colours in `colour`, scaling in `scale` and the stored form in `encode`.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use image::ImageFormat;
use latchkey_shared::types::validation_error::Invalid;
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use tokio::fs::File;
use url::Url;
use uuid::Uuid;

use crate::{
    accounts::pictures::media_dir::PARTIAL,
    app_state::App,
    http::{
        audit_context::AuditContext,
        body::{Body, WITH_PICTURE},
        error::ApiError,
    },
};

mod colour;
mod complete;
mod decode;
mod encode;
mod form_field;
pub mod media_dir;
mod queue;
mod scale;
pub mod serve;

#[cfg(test)]
mod tests;

pub use decode::{MAX_PIXELS, MAX_SIDE};
pub use encode::{MAX_STORED_BYTES, Picture};
use queue::DecodeQueue;

/// The largest file that is accepted: 5 MiB.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;

/// The extensions of stored pictures, with their media types.
const STORED: [(&str, &str); 2] = [("jpg", "image/jpeg"), ("png", "image/png")];

/// What a profile change says of the picture: nothing (`None`), that it is removed (`Some(None)`), or a new one.
pub type PictureChange = Option<Option<Upload>>;

/// A file that claims to be a picture: its size and its first bytes have been checked, its content has not.
#[derive(Debug)]
pub struct Upload {
    bytes: Vec<u8>,
    format: ImageFormat,
}

impl Upload {
    /// Checks what can be checked cheaply. The type is told by the content, whatever the file's name says.
    ///
    /// # Errors
    /// When the file is too large, or not of a type that is accepted.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Invalid> {
        if bytes.len() > MAX_BYTES {
            return Err(Invalid::new("too_large", "At most 5 MiB."));
        }
        let format = image::guess_format(&bytes).map_err(|_| not_a_picture())?;
        match format {
            ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP => {
                Ok(Self { bytes, format })
            }
            _ => Err(not_a_picture()),
        }
    }
}

/// Counts an upload of a client and an account (a registration has none) against the limits, and makes a picture of it.
///
/// # Errors
/// When a limit is exceeded, the file is not a picture, or the service is busy.
pub async fn accept(
    app: &App,
    audit: &AuditContext,
    user_id: Option<i64>,
    upload: Upload,
) -> Result<Picture, ApiError> {
    let limit = app
        .limits
        .picture_upload(audit.client_ip, user_id, app.now());
    audit
        .audit_if_limited(app, "picture upload", None, limit.await)
        .await?;
    app.pictures.read(upload).await
}

/// Checks the limits of uploads before a body that only a picture makes large is read. [`accept`] counts the upload.
///
/// # Errors
/// When a limit is exceeded.
pub async fn check_limit<T>(
    app: &App,
    audit: &AuditContext,
    user_id: Option<i64>,
    body: &Body<'_, T, WITH_PICTURE>,
) -> Result<(), ApiError> {
    if !body.may_be_large() {
        return Ok(());
    }
    check_large_body(app, audit, user_id).await
}

/// Checks the limits of uploads before a large body is read.
///
/// # Errors
/// When a limit is exceeded.
pub async fn check_large_body(
    app: &App,
    audit: &AuditContext,
    user_id: Option<i64>,
) -> Result<(), ApiError> {
    let limit = app
        .limits
        .check_picture_upload(audit.client_ip, user_id, app.now());
    audit
        .audit_if_limited(app, "picture upload", None, limit.await)
        .await
}

/// The folder of pictures.
pub struct PictureStore {
    folder: PathBuf,
    base: String,
    /// `PICTURE_MAX_SIZE`
    max_size: u32,
    decoders: DecodeQueue,
}

impl PictureStore {
    /// A store in a folder, whose pictures clients find below `public_url` and have at most `max_size` pixels on a side.
    #[must_use]
    pub fn new(folder: &Path, public_url: &Url, max_size: u32) -> Self {
        Self {
            folder: folder.to_owned(),
            base: public_url.as_str().trim_end_matches('/').to_owned(),
            max_size,
            decoders: DecodeQueue::default(),
        }
    }

    /// Makes a picture of an upload: decoded on a blocking thread, one at a time on each core, within the memory that all
    /// decoders share.
    ///
    /// # Errors
    /// When the file is not a complete picture, or has too many pixels, or it was not its turn in time.
    pub async fn read(&self, upload: Upload) -> Result<Picture, ApiError> {
        let max_size = self.max_size;
        let measure = move || {
            let bytes = decode::memory_needed(&upload.bytes, upload.format)?;
            Ok((bytes, upload))
        };
        let decode = move |upload| rewrite(&upload, max_size);
        self.decoders.run(measure, decode).await
    }

    /// Stores a picture under a random name, which it returns.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub async fn save(&self, picture: Picture) -> std::io::Result<String> {
        let mut random = [0; 16];
        UnwrapErr(SysRng).fill_bytes(&mut random);
        let name = format!(
            "{}.{}",
            Uuid::from_bytes(random).simple(),
            picture.extension
        );
        let (folder, file) = (self.folder.clone(), name.clone());
        tokio::task::spawn_blocking(move || media_dir::write(&folder, &file, &picture.bytes))
            .await
            .map_err(std::io::Error::other)??;
        Ok(name)
    }

    /// Removes a picture that nobody refers to any more. One that cannot be removed is logged and left.
    pub async fn remove(&self, name: &str) {
        if let Err(error) = tokio::fs::remove_file(self.folder.join(name)).await {
            tracing::warn!(picture = name, %error, "An old picture could not be removed.");
        }
    }

    /// The names of the files that were written before a moment, those that were never finished among them. Whatever else is
    /// in the folder is not named.
    ///
    /// # Errors
    /// When the folder cannot be read. One that is not there has none.
    pub fn written_before(&self, moment: SystemTime) -> std::io::Result<Vec<String>> {
        if !self.folder.try_exists()? {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if extension_of(&name).is_some() && entry.metadata()?.modified()? < moment {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The absolute URL of a picture.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("{}/media/{name}", self.base)
    }

    /// Opens a stored picture; `None` for a name that no stored picture has.
    pub async fn open(&self, name: &str) -> Option<StoredPicture> {
        let extension = extension_of(name)?;
        let (_, media_type) = STORED.into_iter().find(|(known, _)| *known == extension)?;
        let file = File::open(self.folder.join(name)).await.ok()?;
        let bytes = file.metadata().await.ok()?.len();
        Some(StoredPicture {
            file,
            bytes,
            media_type,
        })
    }
}

/// A stored picture, opened for reading.
pub struct StoredPicture {
    /// The file.
    pub file: File,
    /// Its length.
    pub bytes: u64,
    /// Its media type.
    pub media_type: &'static str,
}

/// Decodes, scales and converts an upload, and encodes what becomes of it.
fn rewrite(upload: &Upload, max_size: u32) -> Result<Picture, Invalid> {
    if !complete::is_complete(&upload.bytes, upload.format) {
        return Err(not_a_picture());
    }
    let decoded = decode::decode(&upload.bytes, upload.format)?;
    // Scaling first: the other steps then cost next to nothing.
    let small = scale::shrink(decoded.pixels, max_size, decoded.inks.is_none());
    let mut srgb = colour::to_srgb(small, decoded.inks, decoded.icc_profile.as_deref());
    // The orientation is metadata, which is not stored.
    srgb.apply_orientation(decoded.orientation);
    encode::encode(srgb.into_rgba8()).ok_or_else(not_a_picture)
}

fn invalid(reason: Invalid) -> ApiError {
    ApiError::invalid_field("image", reason)
}

/// The extension of a file, if its name is one that [`PictureStore::save`] gives.
fn extension_of(name: &str) -> Option<&str> {
    let (id, extension) = name.split_once('.')?;
    let is_ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_known = extension == PARTIAL || STORED.iter().any(|(known, _)| *known == extension);
    (is_ours && is_known).then_some(extension)
}

fn not_a_picture() -> Invalid {
    Invalid::new(
        "invalid",
        "Not a PNG, JPEG, GIF or WebP picture, or a damaged one.",
    )
}
