//! The conversion of an upload to its stored form: scaling and re-encoding.

use latchkey_shared::types::validation_error::Invalid;

use super::{Picture, colour, decode, encode, not_a_picture, reduce::Reduced, scale};

/// Decodes a file, scales it to at most `max_size` pixels on a side, converts it to sRGB and encodes the result.
pub(super) fn reencode(file: &Reduced, max_size: u32) -> Result<Picture, Invalid> {
    let decoded = decode::decode(&file.bytes, file.format)?;
    // Scaling first makes the other steps cheap.
    let small = scale::shrink(decoded.pixels, max_size, decoded.inks.is_none());
    let mut srgb = colour::to_srgb(small, decoded.inks, decoded.icc_profile.as_deref());
    // Applied to the pixels, as metadata is not stored.
    srgb.apply_orientation(decoded.orientation);
    encode::encode(srgb.into_rgba8()).ok_or_else(not_a_picture)
}
