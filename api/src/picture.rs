//! Profile pictures: decoded, measured, and written anew, so that nothing of the uploaded file survives but its pixels.

use std::{
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};
use latchkey_shared::invalid::Invalid;
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use tokio::sync::Semaphore;
use url::Url;
use uuid::Uuid;

/// The largest file that is taken: 5 MiB.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;

/// The most pixels, width times height. They are counted before any is decoded.
pub const MAX_PIXELS: u64 = 25_000_000;

/// The most memory that decoding may take; 25 megapixels of 16-bit RGBA fit.
const MAX_ALLOCATION: u64 = 256 * 1024 * 1024;

/// The kinds of picture, with the ending of their files and their media type.
const FORMATS: [(ImageFormat, &str, &str); 4] = [
    (ImageFormat::Png, "png", "image/png"),
    (ImageFormat::Jpeg, "jpg", "image/jpeg"),
    (ImageFormat::Gif, "gif", "image/gif"),
    (ImageFormat::WebP, "webp", "image/webp"),
];

/// The ending of a file that is not written whole.
const PARTIAL: &str = "partial";

/// A picture written anew: no metadata, no second frame, nothing behind its end.
pub struct Picture {
    bytes: Vec<u8>,
    ending: &'static str,
}

impl Picture {
    /// The file, as it will be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The folder of pictures.
pub struct PictureStore {
    folder: PathBuf,
    base: String,
    /// Decoding takes memory; so many pictures are decoded at a time.
    decoders: Arc<Semaphore>,
}

impl PictureStore {
    /// A store in a folder, whose pictures clients find below `public_url`.
    #[must_use]
    pub fn new(folder: &Path, public_url: &Url) -> Self {
        Self {
            folder: folder.to_owned(),
            base: public_url.as_str().trim_end_matches('/').to_owned(),
            decoders: Arc::new(Semaphore::new(2)),
        }
    }

    /// Reads an uploaded picture. Its type is told by its content, whatever its name says.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub async fn read(&self, bytes: Vec<u8>) -> Result<Picture, Invalid> {
        if bytes.len() > MAX_BYTES {
            return Err(Invalid::new("too_large", "At most 5 MiB."));
        }
        let Ok(permit) = self.decoders.clone().acquire_owned().await else {
            return Err(not_a_picture());
        };
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            rewrite(&bytes)
        })
        .await
        .unwrap_or_else(|_| Err(not_a_picture()))
    }

    /// Stores a picture under a random name, which it returns.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub async fn save(&self, picture: Picture) -> std::io::Result<String> {
        let mut random = [0; 16];
        UnwrapErr(SysRng).fill_bytes(&mut random);
        let name = format!("{}.{}", Uuid::from_bytes(random).simple(), picture.ending);
        let (folder, file) = (self.folder.clone(), self.folder.join(&name));
        tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let partial = file.with_extension(PARTIAL);
            let mut writer = std::fs::File::create(&partial)?;
            writer.write_all(&picture.bytes)?;
            writer.sync_all()?;
            std::fs::rename(partial, file)
        })
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
            if ending_of(&name).is_some() && entry.metadata()?.modified()? < moment {
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

    /// The bytes and the media type of a picture; `None` for anything that is not one of ours.
    pub async fn load(&self, name: &str) -> Option<(Vec<u8>, &'static str)> {
        let ending = ending_of(name)?;
        let (_, _, media_type) = FORMATS.into_iter().find(|(_, known, _)| *known == ending)?;
        Some((
            tokio::fs::read(self.folder.join(name)).await.ok()?,
            media_type,
        ))
    }
}

/// The ending of a file, if its name is one that [`PictureStore::save`] gives.
fn ending_of(name: &str) -> Option<&str> {
    let (id, ending) = name.split_once('.')?;
    let is_ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_known = ending == PARTIAL || FORMATS.iter().any(|(_, known, _)| *known == ending);
    (is_ours && is_known).then_some(ending)
}

fn not_a_picture() -> Invalid {
    Invalid::new(
        "invalid",
        "Not a PNG, JPEG, GIF or WebP picture, or a damaged one.",
    )
}

fn rewrite(bytes: &[u8]) -> Result<Picture, Invalid> {
    let format = image::guess_format(bytes).map_err(|_| not_a_picture())?;
    let (_, ending, _) = FORMATS
        .into_iter()
        .find(|(known, ..)| *known == format)
        .ok_or_else(not_a_picture)?;
    let picture = decode(bytes, format)?;
    let mut written = Cursor::new(Vec::new());
    // Each encoder takes some pixel formats only; JPEG knows no transparency.
    let plain: DynamicImage = match format {
        ImageFormat::Jpeg => picture.into_rgb8().into(),
        _ => picture.into_rgba8().into(),
    };
    plain
        .write_to(&mut written, format)
        .map_err(|_| not_a_picture())?;
    Ok(Picture {
        bytes: written.into_inner(),
        ending,
    })
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, Invalid> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let explain = |error: ImageError| match error {
        ImageError::Limits(_) => too_many_pixels(),
        _ => not_a_picture(),
    };
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(too_many_pixels());
    }
    // The orientation is metadata and goes with the rest of it, so the pixels are turned first.
    let orientation = decoder.orientation().map_err(explain)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(explain)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn too_many_pixels() -> Invalid {
    Invalid::new("too_large", "At most 25 megapixels.")
}
