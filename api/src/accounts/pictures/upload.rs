//! An uploaded file before it is decoded.

use image::ImageFormat;
use latchkey_shared::types::validation_error::Invalid;

use crate::accounts::pictures::{MAX_BYTES, not_a_picture};

/// An uploaded file. Its size and its first bytes have been checked, but it has not been decoded.
#[derive(Debug)]
pub struct Upload {
    pub(super) bytes: Vec<u8>,
    pub(super) format: ImageFormat,
}

impl Upload {
    /// Checks the size and the format of a file. Detects the format by the content.
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
