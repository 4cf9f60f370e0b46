//! Detection of truncated picture files, which the decoders accept.
//!
//! Parses the containers only, not the compressed data. A PNG ends with `IEND`, a JPEG with `EOI` and a GIF with its trailer. A
//! WebP declares its length. Trailing bytes are allowed.

use image::ImageFormat;

/// Whether a file is complete.
pub(super) fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    let mut rest = Rest(bytes);
    match format {
        ImageFormat::Png => png(&mut rest),
        ImageFormat::Jpeg => jpeg(&mut rest),
        ImageFormat::Gif => gif(&mut rest),
        ImageFormat::WebP => webp(&mut rest),
        _ => None,
    }
    .is_some()
}

/// The unread rest of a file. Each method returns `None` past the end.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Moves to the next byte that meets a condition.
    fn seek(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Option<()> {
        let at = (0..self.0.len()).find(|at| wanted(&self.0[*at..]))?;
        self.take(at).map(|_| ())
    }
}

/// Maximum number of chunks without data. The decoder needs as much time for each as for one with data.
const MAX_EMPTY_CHUNKS: usize = 16;

/// Chunks up to `IEND` (PNG specification, 5.3).
fn png(rest: &mut Rest) -> Option<()> {
    let mut empty = 0;
    rest.take(8)?;
    loop {
        let length = u32::from_be_bytes(rest.array()?);
        let kind = rest.take(4)?;
        if length == 0 && kind != b"IEND" {
            empty += 1;
            if empty > MAX_EMPTY_CHUNKS {
                return None;
            }
        }
        rest.take(usize::try_from(length).ok()?.checked_add(4)?)?;
        if kind == b"IEND" {
            return Some(());
        }
    }
}

/// Segments and scans up to `EOI` (ITU T.81, B.1.1).
fn jpeg(rest: &mut Rest) -> Option<()> {
    const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
    const TEM: u8 = 0x01;
    const SOI: u8 = 0xd8;
    const EOI: u8 = 0xd9;
    const SOS: u8 = 0xda;
    loop {
        rest.seek(|at| at[0] == 0xff)?;
        rest.seek(|at| at[0] != 0xff)?;
        match rest.byte()? {
            EOI => return Some(()),
            TEM | SOI => {}
            marker if RESTARTS.contains(&marker) => {}
            marker => {
                let length = usize::from(u16::from_be_bytes(rest.array()?));
                rest.take(length.checked_sub(2)?)?;
                if marker == SOS {
                    // In compressed data, 0xff is followed by 0x00 or a restart marker.
                    rest.seek(|at| {
                        matches!(at, [0xff, next, ..] if *next != 0 && !RESTARTS.contains(next))
                    })?;
                }
            }
        }
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
