//! Encoding of stored pictures, without metadata: PNG if the picture has transparency, otherwise JPEG.

use std::io::Cursor;

use image::{DynamicImage, ImageEncoder as _, RgbaImage, codecs::jpeg::JpegEncoder};

use crate::accounts::pictures::scale::shrink;

/// Maximum size of a stored file: 256 KiB. A photograph of 512 by 512 pixels has about 60.
pub const MAX_STORED_BYTES: usize = 256 * 1024;

/// The JPEG qualities to try in turn, of 100.
const QUALITIES: [u8; 2] = [85, 70];

/// A picture in its stored form: one frame, without metadata, of bounded size.
pub struct Picture {
    pub(super) bytes: Vec<u8>,
    pub(super) extension: &'static str,
}

impl Picture {
    /// The content of the file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Encodes a picture. Scales it down further if the file is too large, as with transparent noise. Returns `None` if the
/// encoder fails.
pub(super) fn encode(mut picture: RgbaImage) -> Option<Picture> {
    loop {
        let encoded = if picture.pixels().all(|pixel| pixel.0[3] == u8::MAX) {
            jpeg(&picture)?
        } else {
            png(&picture)?
        };
        let longer = picture.width().max(picture.height());
        if encoded.bytes.len() <= MAX_STORED_BYTES || longer == 1 {
            return Some(encoded);
        }
        picture = shrink(picture.into(), longer * 3 / 4, true).into_rgba8();
    }
}

fn jpeg(picture: &RgbaImage) -> Option<Picture> {
    let plain = DynamicImage::from(picture.clone()).into_rgb8();
    let mut bytes = Vec::new();
    for quality in QUALITIES {
        bytes.clear();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
        let (width, height) = plain.dimensions();
        encoder
            .write_image(
                plain.as_raw(),
                width,
                height,
                image::ExtendedColorType::Rgb8,
            )
            .ok()?;
        if bytes.len() <= MAX_STORED_BYTES {
            break;
        }
    }
    Some(Picture {
        bytes,
        extension: "jpg",
    })
}

fn png(picture: &RgbaImage) -> Option<Picture> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).ok()?;
    Some(Picture {
        bytes: bytes.into_inner(),
        extension: "png",
    })
}
