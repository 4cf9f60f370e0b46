//! Profile pictures. Uploads are decoded, scaled down and encoded again, so that only the pixels of the uploaded file are stored
//! (A2), and the stored file is small (C3).
//!
//! [`PictureStore::process`] converts an [`Upload`] to a [`Picture`], [`PictureStore::save`] stores it and [`PictureStore::open`]
//! opens it for an answer.

use std::{fs, io, path::Path, sync::Arc, time::SystemTime};

use latchkey_shared::types::validation_error::Invalid;
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use url::Url;
use uuid::Uuid;

use crate::{
    accounts::pictures::{
        folder_threads::FolderThreads,
        media_dir::{MediaDir, PARTIAL},
    },
    app_state::App,
    http::{
        audit_context::AuditContext,
        body::{Body, WITH_PICTURE},
        error::ApiError,
    },
    rate_limit::Limit,
};

mod colour;
mod decode;
mod encode;
mod folder_threads;
mod form_field;
mod icc_profile;
pub mod media_dir;
mod queue;
mod reduce;
mod reencode;
mod rest;
mod scale;
pub mod serve;
mod stored_picture;
mod upload;
mod webp;

#[cfg(test)]
mod tests;

pub use decode::{MAX_PIXELS, MAX_SIDE};
pub use encode::{MAX_STORED_BYTES, Picture};
use queue::DecodeQueue;
pub use stored_picture::StoredPicture;
pub use upload::Upload;

/// Maximum size of an uploaded file: 5 MiB.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;

/// The file extensions of stored pictures, and their media types.
const STORED: [(&str, &str); 2] = [("jpg", "image/jpeg"), ("png", "image/png")];

/// The picture in a profile change: unchanged (`None`), removed (`Some(None)`) or replaced.
pub type PictureChange = Option<Option<Upload>>;

/// Processes an upload. Counts it against the limits of the client and of the account (`None` in a registration), unless
/// [`check_limit`] has counted its body.
pub async fn accept(
    app: &App,
    audit: &AuditContext,
    user_id: Option<i64>,
    upload: Upload,
) -> Result<Picture, ApiError> {
    if !audit.has_large_body {
        app.count_request(audit, Limit::PictureUpload(user_id))
            .await?;
    }
    app.pictures.process(upload).await
}

/// Processes and saves the picture of a profile change. Returns the change of the stored name.
pub async fn store(
    app: &App,
    audit: &AuditContext,
    user_id: i64,
    change: PictureChange,
) -> Result<Option<Option<String>>, ApiError> {
    Ok(match change {
        None => None,
        Some(None) => Some(None),
        Some(Some(upload)) => {
            let picture = accept(app, audit, Some(user_id), upload).await?;
            Some(Some(app.pictures.save(picture).await?))
        }
    })
}

/// Counts a body that may contain a large picture against the upload limits, before it is read: receiving and parsing it costs
/// memory and CPU time even if it is refused. [`accept`] counts smaller pictures.
pub async fn check_limit<T>(
    app: &App,
    audit: &AuditContext,
    user_id: Option<i64>,
    body: &Body<'_, T, WITH_PICTURE>,
) -> Result<(), ApiError> {
    if !body.may_be_large() {
        return Ok(());
    }
    count_large_body(app, audit, user_id).await
}

/// Counts a large body against the upload limits before it is read.
pub async fn count_large_body(
    app: &App,
    audit: &AuditContext,
    user_id: Option<i64>,
) -> Result<(), ApiError> {
    app.count_request(audit, Limit::PictureUpload(user_id))
        .await
}

/// The pictures in `MEDIA_DIR`.
pub struct PictureStore {
    folder: Arc<MediaDir>,
    /// The threads of requests, and the one of the health check.
    threads: FolderThreads,
    check_thread: FolderThreads,
    /// `PUBLIC_URL` without a slash at its end.
    base: String,
    /// `PICTURE_MAX_SIZE`
    max_size: u32,
    decoders: DecodeQueue,
}

impl PictureStore {
    /// Creates a store. Pictures are served below `public_url` and have at most `max_size` pixels on a side.
    #[must_use]
    pub fn new(folder: &Path, public_url: &Url, max_size: u32) -> Self {
        Self {
            folder: Arc::new(MediaDir::new(folder)),
            threads: FolderThreads::of_requests(),
            check_thread: FolderThreads::of_check(),
            base: public_url.as_str().trim_end_matches('/').to_owned(),
            max_size,
            decoders: DecodeQueue::default(),
        }
    }

    /// Converts an upload to its stored form on a blocking thread. Waits for a core and for the decoders' memory budget.
    pub async fn process(&self, upload: Upload) -> Result<Picture, ApiError> {
        let max_size = self.max_size;
        let measure = move || {
            let file = reduce::reduce(upload)?;
            let bytes = decode::memory_needed(&file.bytes, file.format)?;
            Ok((bytes, file))
        };
        let decode = move |file| reencode::reencode(&file, max_size);
        self.decoders.run(measure, decode).await
    }

    /// Creates the folder if it does not exist.
    pub async fn create_folder(&self) -> io::Result<()> {
        self.on_folder(MediaDir::create).await
    }

    /// Checks that pictures can be stored. Fails at once while an earlier check hangs.
    pub async fn check_write(&self) -> io::Result<()> {
        let folder = Arc::clone(&self.folder);
        let check = move || folder.check_write();
        self.check_thread.run_if_free(check).await
    }

    /// Uses the folder on one of a few blocking threads, with a timeout.
    async fn on_folder<A: Send + 'static>(
        &self,
        call: impl FnOnce(&MediaDir) -> io::Result<A> + Send + 'static,
    ) -> io::Result<A> {
        let folder = Arc::clone(&self.folder);
        self.threads.run(move || call(&folder)).await
    }

    /// Writes a picture under a random name. Returns the name.
    pub async fn save(&self, picture: Picture) -> io::Result<String> {
        let mut random = [0; 16];
        UnwrapErr(SysRng).fill_bytes(&mut random);
        let name = format!(
            "{}.{}",
            Uuid::from_bytes(random).simple(),
            picture.extension
        );
        let file = name.clone();
        self.on_folder(move |folder| folder.write(&file, &picture.bytes))
            .await?;
        Ok(name)
    }

    /// Removes the pictures that are unreferenced after a change of an account. `outcome` contains the pictures of the account
    /// before and after the change. If the change was rolled back, only the new picture is removed.
    pub async fn remove_unreferenced(
        &self,
        new: Option<String>,
        outcome: Result<[Option<String>; 2], &ApiError>,
    ) {
        let (before, after) = match outcome {
            Ok([before, after]) => (before, after),
            Err(error) if error.is_rolled_back() => (None, None),
            // The outcome is unknown, so the account may refer to the new picture.
            Err(_) => return,
        };
        for name in [before, new].into_iter().flatten() {
            if Some(&name) != after.as_ref() {
                self.remove(&name).await;
            }
        }
    }

    /// Removes an unreferenced picture. Logs a failure.
    pub async fn remove(&self, name: &str) {
        let file = name.to_owned();
        let removed = self.on_folder(move |folder| fs::remove_file(folder.path().join(file)));
        if let Err(error) = removed.await {
            tracing::warn!(picture = name, %error, "Unreferenced picture not removed");
        }
    }

    /// Returns the names of pictures and partial files that were written before `moment`. Ignores other files.
    pub fn written_before(&self, moment: SystemTime) -> io::Result<Vec<String>> {
        let folder = self.folder.path();
        if !folder.try_exists()? {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
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

    /// Returns the absolute URL of a picture.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("{}/media/{name}", self.base)
    }

    /// Opens a stored picture. Returns `None` if there is none of this name.
    ///
    /// # Errors
    /// If the folder is missing or cannot be read, so that the picture may exist.
    pub async fn open(&self, name: &str) -> io::Result<Option<StoredPicture>> {
        let extension = extension_of(name);
        let is_stored = |it: &&(&str, _)| extension == Some(it.0);
        let Some((_, media_type)) = STORED.iter().find(is_stored) else {
            return Ok(None);
        };
        let (name, threads) = (name.to_owned(), self.threads.clone());
        let opened = self.on_folder(move |folder| folder.open(&name)).await?;
        Ok(opened.map(|(file, bytes)| StoredPicture {
            bytes,
            media_type,
            file,
            threads,
        }))
    }
}

fn invalid(reason: Invalid) -> ApiError {
    ApiError::invalid_field("image", reason)
}

/// Returns the extension of a file, if [`PictureStore::save`] generates such names.
fn extension_of(name: &str) -> Option<&str> {
    let (id, extension) = name.split_once('.')?;
    let is_generated = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_known = extension == PARTIAL || STORED.iter().any(|(known, _)| *known == extension);
    (is_generated && is_known).then_some(extension)
}

fn not_a_picture() -> Invalid {
    Invalid::new(
        "invalid",
        "Not a PNG, JPEG, GIF or WebP picture, or a damaged one.",
    )
}
