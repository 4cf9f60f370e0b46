//! Reduces an uploaded file to the parts that its decoder uses, and refuses truncated files, which the decoders accept.
//!
//! Parses the containers only, not the compressed data. A PNG ends with `IEND`, a JPEG with `EOI` and a GIF with its trailer. A
//! WebP declares its length. Trailing bytes are allowed.
//!
//! The decoders of PNG and JPEG keep unused metadata in memory, and need time for each part: for the extended XMP of a
//! JPEG, time that is quadratic in the number of its parts. So the decoder gets no other metadata than the profile and the
//! orientation, and a bounded number of parts.

use std::{iter, ops::Range};

use image::ImageFormat;
use latchkey_shared::types::validation_error::Invalid;

use crate::accounts::pictures::{Upload, not_a_picture, rest::Rest};

/// Maximum number of used chunks of a PNG. libpng writes 8 KiB into each, so a file of 5 MiB has 640.
const MAX_CHUNKS: usize = 4_096;

/// Maximum number of used segments of a JPEG. A profile has at most 255 (ICC.1, B.4), and each of 18 scans a few tables.
const MAX_SEGMENTS: usize = 512;

/// Maximum size of all tables of a JPEG, in bytes. The decoder needs as much time for a table of 18 bytes as for a full one.
const MAX_TABLES: usize = 64 * 1024;

/// A file that contains only what its decoder uses.
pub(super) struct Reduced {
    pub bytes: Vec<u8>,
    pub format: ImageFormat,
}

/// Reduces a file. Refuses a truncated one, and one with too many parts.
pub(super) fn reduce(upload: Upload) -> Result<Reduced, Invalid> {
    let Upload { mut bytes, format } = upload;
    let kept = match format {
        ImageFormat::Png => png(&bytes),
        ImageFormat::Jpeg => jpeg(&bytes),
        ImageFormat::Gif => gif(&mut Rest(&bytes)).map(|()| beginning(bytes.len())),
        ImageFormat::WebP => webp(&mut Rest(&bytes)).map(|()| beginning(bytes.len())),
        _ => None,
    };
    // In place, as a copy would need as much memory as the file.
    let mut end = 0;
    for part in kept.ok_or_else(not_a_picture)? {
        let length = part.len();
        bytes.copy_within(part, end);
        end += length;
    }
    bytes.truncate(end);
    Ok(Reduced { bytes, format })
}

/// Returns the first bytes of a file as its first part.
fn beginning(length: usize) -> Vec<Range<usize>> {
    iter::once(0..length).collect()
}

/// Adds a part after the signature, unless there are too many.
fn keep(kept: &mut Vec<Range<usize>>, part: Range<usize>, max: usize) -> Option<()> {
    kept.push(part);
    (kept.len() <= max + 1).then_some(())
}

/// Returns the signature and the used chunks up to `IEND` (PNG specification, 5.3): the critical ones, the transparent colour, the
/// profile and the orientation.
fn png(file: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut rest = Rest(file);
    rest.take(8)?;
    let mut kept = beginning(8);
    loop {
        let start = rest.position(file);
        let length = u32::from_be_bytes(rest.array()?);
        let kind: [u8; 4] = rest.array()?;
        rest.take(usize::try_from(length).ok()?.checked_add(4)?)?;
        if kind[0].is_ascii_uppercase() || matches!(&kind, b"tRNS" | b"iCCP" | b"eXIf") {
            keep(&mut kept, start..rest.position(file), MAX_CHUNKS)?;
        }
        if &kind == b"IEND" {
            return Some(kept);
        }
    }
}

const TEM: u8 = 0x01;
const DHT: u8 = 0xc4;
const RST0: u8 = 0xd0;
const RST7: u8 = 0xd7;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP3: u8 = 0xe3;
const APP13: u8 = 0xed;
const APP15: u8 = 0xef;
const COM: u8 = 0xfe;

/// Returns the used segments and scans up to `EOI` (ITU T.81, B.1.1), without the bytes between them.
fn jpeg(file: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut rest = Rest(file);
    rest.take(2)?;
    let (mut kept, mut tables) = (beginning(2), 0);
    loop {
        rest.seek(|at| at[0] == 0xff)?;
        rest.seek(|at| at[0] != 0xff)?;
        let start = rest.position(file) - 1;
        let marker = rest.byte()?;
        if matches!(marker, TEM | SOI | RST0..=RST7) {
            continue;
        }
        if marker == EOI {
            keep(&mut kept, start..start + 2, MAX_SEGMENTS)?;
            return Some(kept);
        }
        let length = usize::from(u16::from_be_bytes(rest.array()?));
        let data = rest.take(length.checked_sub(2)?)?;
        if marker == SOS {
            // In compressed data, 0xff is followed by 0x00 or a restart marker.
            rest.seek(|at| matches!(at, [0xff, next, ..] if !matches!(next, 0 | RST0..=RST7)))?;
        }
        if matches!(marker, DHT | DQT) {
            tables += length;
        }
        if tables > MAX_TABLES {
            return None;
        }
        if is_used(marker, data) {
            keep(&mut kept, start..rest.position(file), MAX_SEGMENTS)?;
        }
    }
}

/// Whether the decoder uses a segment. Of the metadata, these are the orientation, the profile and the kind of colours.
fn is_used(marker: u8, data: &[u8]) -> bool {
    match marker {
        APP1 => data.starts_with(b"Exif\0\0"),
        APP2 => data.starts_with(b"ICC_PROFILE\0"),
        APP3..=APP13 | APP15 | COM => false,
        _ => true,
    }
}

/// Blocks up to the trailer (`GIF89a`, 27).
fn gif(rest: &mut Rest) -> Option<()> {
    let screen: [u8; 13] = rest.array()?;
    rest.take(color_table(screen[10]))?;
    loop {
        match rest.byte()? {
            b';' => return Some(()),
            b',' => {
                let descriptor: [u8; 9] = rest.array()?;
                rest.take(color_table(descriptor[8]))?;
                // The LZW code size.
                rest.byte()?;
            }
            b'!' => {
                // The label of the extension.
                rest.byte()?;
            }
            _ => return None,
        }
        loop {
            let length = usize::from(rest.byte()?);
            if length == 0 {
                break;
            }
            rest.take(length)?;
        }
    }
}

/// Returns the length of a GIF colour table, in bytes, from its flags.
fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// A RIFF file of the declared length that consists of chunks (WebP container specification).
fn webp(rest: &mut Rest) -> Option<()> {
    rest.take(4)?;
    let length = usize::try_from(u32::from_le_bytes(rest.array()?)).ok()?;
    let mut chunks = Rest(rest.take(length)?);
    chunks.take(4)?;
    while !chunks.0.is_empty() {
        chunks.take(4)?;
        let length = usize::try_from(u32::from_le_bytes(chunks.array()?)).ok()?;
        chunks.take(length)?;
        // Chunks of odd length are padded, except the last one of some encoders.
        chunks.take((length % 2).min(chunks.0.len()))?;
    }
    Some(())
}
