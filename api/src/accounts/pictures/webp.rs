//! Checks the memory and the frame sizes of a WebP before it is decoded, since the decoder does not. RFC 9649 specifies the format.

use crate::accounts::pictures::rest::Rest;

/// The memory that the decoder's tables need for each byte of lossless data, in bytes. It makes a table of 4 KiB from a prefix code
/// of 12 bytes, and a file may contain 65,536 groups of codes.
const TABLES_PER_BYTE: u64 = 400;

/// Width and height in pixels.
type Size = (u32, u32);

/// Returns the maximum memory of the decoder's tables, in bytes. Returns `None` if a header is truncated, or if a frame differs in
/// size from the canvas, which the decoder checks only after it has decoded the frame.
pub(super) fn table_memory(bytes: &[u8]) -> Option<u64> {
    let mut chunks = Rest(bytes);
    // "RIFF", the length, "WEBP"
    chunks.take(12)?;
    let lossless = lossless_bytes(&mut chunks, None)?;
    Some(TABLES_PER_BYTE * u64::try_from(lossless).ok()?)
}

/// Returns the length of the lossless data in the chunks of a file or of the first frame of an animation. Reads to the end of the
/// bytes, since the decoder also uses chunks beyond the declared length. Like the decoder, uses only the first canvas and ignores
/// frames within a frame.
fn lossless_bytes(chunks: &mut Rest<'_>, frame: Option<Size>) -> Option<usize> {
    let (mut expected, mut lossless, mut has_frame) = (frame, 0, frame.is_some());
    while let Some((kind, data)) = next_chunk(chunks) {
        let mut data = Rest(data);
        let length = data.0.len();
        match kind {
            b"VP8X" if expected.is_none() => expected = Some(canvas(&mut data)?),
            b"VP8 " if expected.is_some_and(|size| lossy_size(&mut data) != Some(size)) => {
                return None;
            }
            b"VP8L" if expected.is_some_and(|size| lossless_size(&mut data) != Some(size)) => {
                return None;
            }
            b"VP8L" | b"ALPH" => lossless += length,
            b"ANMF" if !has_frame => {
                has_frame = true;
                let size = frame_size(&mut data)?;
                lossless += lossless_bytes(&mut data, Some(size))?;
            }
            _ => {}
        }
    }
    Some(lossless)
}

/// Returns the kind and the data of the next chunk. A truncated chunk has the data that is there, as for the decoder.
fn next_chunk<'a>(chunks: &mut Rest<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let kind = chunks.take(4)?;
    let length = usize::try_from(u32::from_le_bytes(chunks.array()?)).ok()?;
    let data = chunks.take(length.min(chunks.0.len()))?;
    // Chunks of odd length are padded.
    chunks.take((length % 2).min(chunks.0.len()))?;
    Some((kind, data))
}

/// `VP8X`: flags, then the size less one (section 2.7).
fn canvas(data: &mut Rest<'_>) -> Option<Size> {
    data.take(4)?;
    Some((1 + number(data)?, 1 + number(data)?))
}

/// `ANMF`: the position, the size less one, the duration and flags (section 2.7.1.1).
fn frame_size(data: &mut Rest<'_>) -> Option<Size> {
    data.take(6)?;
    let size = (1 + number(data)?, 1 + number(data)?);
    data.take(4)?;
    Some(size)
}

/// `VP8 `: the tag of the frame and the start code, then two numbers of 14 bits (RFC 6386, 9.1).
fn lossy_size(data: &mut Rest<'_>) -> Option<Size> {
    data.take(6)?;
    let mut side = || Some(u32::from(u16::from_le_bytes(data.array()?) & 0x3fff));
    Some((side()?, side()?))
}

/// `VP8L`: the signature, then two numbers of 14 bits less one (section 3.4).
fn lossless_size(data: &mut Rest<'_>) -> Option<Size> {
    data.take(1)?;
    let sides = u32::from_le_bytes(data.array()?);
    Some((1 + (sides & 0x3fff), 1 + (sides >> 14 & 0x3fff)))
}

/// Returns a number of 24 bits.
fn number(data: &mut Rest<'_>) -> Option<u32> {
    let [low, middle, high] = data.array()?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}
