//! Decoding of uploaded pictures. The bounds are checked before any pixel is decoded.

use std::io::Cursor;

use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, Limits, RgbImage, RgbaImage,
    codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use latchkey_shared::types::validation_error::Invalid;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::accounts::pictures::{colour::Inks, not_a_picture, queue::MEMORY, webp};

/// Maximum number of pixels of an upload, width times height.
pub const MAX_PIXELS: u64 = 25_000_000;

/// Maximum width and height of an upload, in pixels.
pub const MAX_SIDE: u32 = 65_535;

/// Maximum size of the decompressed metadata of a PNG, in bytes.
const MAX_METADATA: u64 = 16 * 1024 * 1024;

/// Maximum number of scans of a progressive JPEG with up to three components. Each scan processes every pixel of a component.
/// libjpeg writes ten.
const MAX_SCANS: usize = 12;

/// Maximum number of scans of a progressive JPEG of inks. libjpeg writes 18.
const MAX_SCANS_OF_INKS: usize = 18;

/// A decoded picture, or the first frame of an animation.
pub(super) struct Decoded {
    /// The pixels as encoded. Inks are in the four channels of an RGBA picture.
    pub pixels: DynamicImage,
    /// The kind of inks, if the channels are inks.
    pub inks: Option<Inks>,
    /// The embedded ICC profile.
    pub icc_profile: Option<Vec<u8>>,
    /// The orientation from the EXIF data. It is applied after scaling, in `reencode`.
    pub orientation: Orientation,
}

/// A decoder that has read the header of its file.
enum Opened<'a> {
    Png(Box<PngDecoder<Cursor<&'a [u8]>>>),
    Gif(Box<GifDecoder<Cursor<&'a [u8]>>>),
    WebP(Box<WebPDecoder<Cursor<&'a [u8]>>>),
    Jpeg(Box<JpegDecoder<ZCursor<&'a [u8]>>>),
}

/// Returns the maximum memory that decoding a file needs, in bytes. Refuses pictures with too many pixels, and those that need more
/// than [`MEMORY`].
pub(super) fn memory_needed(bytes: &[u8], format: ImageFormat) -> Result<u64, Invalid> {
    let opened = Opened::new(bytes, format)?;
    let (width, height) = opened.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(too_many_pixels());
    }
    if width.max(height) > MAX_SIDE {
        let reason = "At most 65,535 pixels on a side.";
        return Err(Invalid::new("too_large", reason));
    }
    let rows = opened.row_memory(width);
    let needed = pixels * opened.bytes_per_pixel() + rows + table_memory(bytes, format)?;
    if needed > MEMORY {
        let reason =
            "Decoding this picture needs too much memory. Use a smaller one, a PNG or a JPEG.";
        return Err(Invalid::new("too_large", reason));
    }
    Ok(needed)
}

/// Returns the memory that does not depend on the number of pixels, in bytes.
fn table_memory(bytes: &[u8], format: ImageFormat) -> Result<u64, Invalid> {
    match format {
        ImageFormat::WebP => webp::table_memory(bytes).ok_or_else(not_a_picture),
        _ => Ok(0),
    }
}

/// Decodes a file that [`memory_needed`] has accepted.
pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<Decoded, Invalid> {
    match Opened::new(bytes, format)? {
        Opened::Png(decoder) => finish(*decoder),
        Opened::Gif(decoder) => finish(*decoder),
        Opened::WebP(decoder) => finish(*decoder),
        Opened::Jpeg(decoder) => finish_jpeg(*decoder),
    }
}

impl<'a> Opened<'a> {
    fn new(bytes: &'a [u8], format: ImageFormat) -> Result<Self, Invalid> {
        let reader = Cursor::new(bytes);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_METADATA);
        Ok(match format {
            ImageFormat::Png => {
                let decoder = PngDecoder::with_limits(reader, limits).map_err(explain)?;
                Self::Png(Box::new(decoder))
            }
            ImageFormat::Gif => Self::Gif(Box::new(gif(reader).map_err(explain)?)),
            ImageFormat::WebP => Self::WebP(Box::new(WebPDecoder::new(reader).map_err(explain)?)),
            ImageFormat::Jpeg => Self::Jpeg(Box::new(jpeg(bytes).ok_or_else(not_a_picture)?)),
            _ => return Err(not_a_picture()),
        })
    }

    fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::Png(decoder) => decoder.dimensions(),
            Self::Gif(decoder) => decoder.dimensions(),
            Self::WebP(decoder) => decoder.dimensions(),
            Self::Jpeg(decoder) => decoder.info().map_or((0, 0), |info| {
                (u32::from(info.width), u32::from(info.height))
            }),
        }
    }

    /// Number of bytes that the decoder allocates per pixel, including working memory.
    fn bytes_per_pixel(&self) -> u64 {
        match self {
            // The picture, at most 16-bit RGBA.
            Self::Png(decoder) => u64::from(decoder.color_type().bytes_per_pixel()),
            // The picture and its smaller first frame.
            Self::Gif(_) => 8,
            // The picture, the frame and the canvas of an animation.
            Self::WebP(_) => 12,
            // Each component in the picture, and of a progressive one also a 16-bit coefficient.
            Self::Jpeg(_) => 3 * self.components(),
        }
    }

    /// Memory of the decoder for rows of a picture of this width, in bytes: of each component of a JPEG, a row of blocks of up to 32 by 32
    /// pixels and its upsampled copies.
    fn row_memory(&self, width: u32) -> u64 {
        match self {
            Self::Jpeg(_) => u64::from(width.next_multiple_of(32)) * self.components() * 352,
            _ => 0,
        }
    }

    fn components(&self) -> u64 {
        match self {
            Self::Jpeg(decoder) => decoder
                .input_colorspace()
                .map_or(4, |space| space.num_components() as u64),
            _ => 1,
        }
    }
}

/// A GIF. Its first frame is allocated as well, and may not be larger than the screen.
fn gif(reader: Cursor<&[u8]>) -> Result<GifDecoder<Cursor<&[u8]>>, ImageError> {
    let mut decoder = GifDecoder::new(reader)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(decoder.total_bytes());
    decoder.set_limits(limits)?;
    Ok(decoder)
}

/// A JPEG decoder that has read the headers. It tolerates garbage between headers and refuses corrupt data, which would
/// otherwise become grey pixels.
fn jpeg(bytes: &[u8]) -> Option<JpegDecoder<ZCursor<&[u8]>>> {
    let options = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let lenient = options.set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().ok()?;
    let (output, max_scans) = match decoder.input_colorspace()? {
        ColorSpace::YCbCr | ColorSpace::RGB => (ColorSpace::RGB, MAX_SCANS),
        ColorSpace::Luma => (ColorSpace::Luma, MAX_SCANS),
        // Unconverted: the ICC profile defines the colours of the inks.
        inks @ (ColorSpace::CMYK | ColorSpace::YCCK) => (inks, MAX_SCANS_OF_INKS),
        _ => return None,
    };
    let strict = options.set_strict_mode(true);
    let bounded = strict.jpeg_set_max_scans(max_scans);
    decoder.set_options(bounded.jpeg_set_out_colorspace(output));
    Some(decoder)
}

fn finish(mut decoder: impl ImageDecoder) -> Result<Decoded, Invalid> {
    // Invalid metadata is no reason to refuse the picture.
    let icc_profile = decoder.icc_profile().unwrap_or_default();
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok(Decoded {
        pixels: DynamicImage::from_decoder(decoder).map_err(explain)?,
        inks: None,
        icc_profile,
        orientation,
    })
}

fn finish_jpeg(mut decoder: JpegDecoder<ZCursor<&[u8]>>) -> Result<Decoded, Invalid> {
    let samples = decoder.decode().map_err(|_| not_a_picture())?;
    let (width, height) = decoder
        .info()
        .map(|info| (u32::from(info.width), u32::from(info.height)))
        .ok_or_else(not_a_picture)?;
    let (pixels, inks) = match decoder.output_colorspace() {
        Some(ColorSpace::Luma) => (
            GrayImage::from_raw(width, height, samples).map(DynamicImage::from),
            None,
        ),
        Some(ColorSpace::RGB) => (
            RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
            None,
        ),
        Some(ColorSpace::CMYK) => (four_inks(width, height, samples), Some(Inks::Cmyk)),
        Some(ColorSpace::YCCK) => (four_inks(width, height, samples), Some(Inks::Ycck)),
        _ => (None, None),
    };
    let exif = decoder.exif();
    Ok(Decoded {
        pixels: pixels.ok_or_else(not_a_picture)?,
        inks,
        icc_profile: decoder.icc_profile(),
        orientation: exif
            .and_then(|exif| Orientation::from_exif_chunk(exif))
            .unwrap_or(Orientation::NoTransforms),
    })
}

fn four_inks(width: u32, height: u32, samples: Vec<u8>) -> Option<DynamicImage> {
    RgbaImage::from_raw(width, height, samples).map(DynamicImage::from)
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn explain(error: ImageError) -> Invalid {
    match error {
        ImageError::Limits(_) => too_many_pixels(),
        _ => not_a_picture(),
    }
}

fn too_many_pixels() -> Invalid {
    Invalid::new("too_large", "At most 25 megapixels.")
}
