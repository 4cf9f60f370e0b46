//! The forms in which a server may repeat a text: other letter case or width, escaped characters, base64.

use std::ops::Range;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use unicode_normalization::UnicodeNormalization as _;

use crate::transport::redaction::is_invisible;

/// The characters that start an escape of two hexadecimal digits: percent-encoding (RFC 3986, 2.1), quoted-printable
/// (RFC 2045, 6.7) and xtext (RFC 3461, 4).
const ESCAPES: [u8; 3] = [b'%', b'=', b'+'];

/// The length of an escape, in bytes.
const ESCAPE_BYTES: usize = 3;

/// The shortest text to search for in decoded base64, in bytes. Shorter texts would match by chance.
const MIN_ENCODED_BYTES: usize = 4;

/// Decodes base64 with or without padding, also if it is truncated.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The folded characters of a text, each with the range of bytes that it comes from.
pub(super) type View = Vec<(char, Range<usize>)>;

/// Returns a text in the form that [`View`]s compare: NFKC, in lower case, without invisible characters.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(fold).collect()
}

fn fold(c: char) -> impl Iterator<Item = char> {
    let visible = (!is_invisible(c)).then_some(c);
    visible.into_iter().nfkc().flat_map(char::to_lowercase)
}

/// Returns the text itself, and the text with the escapes of each kind decoded.
pub(super) fn views(text: &str) -> Vec<View> {
    let unescaped = ESCAPES
        .into_iter()
        .filter(|escape| text.as_bytes().contains(escape))
        .map(|escape| unescaped(text, escape));
    std::iter::once(literal(text, 0)).chain(unescaped).collect()
}

fn literal(text: &str, start: usize) -> View {
    text.char_indices()
        .flat_map(|(offset, c)| {
            let start = start + offset;
            fold(c).map(move |folded| (folded, start..start + c.len_utf8()))
        })
        .collect()
}

fn unescaped(text: &str, escape: u8) -> View {
    let (mut view, mut position) = (View::new(), 0);
    while position < text.len() {
        let bytes = escaped_bytes(&text.as_bytes()[position..], escape);
        if bytes.is_empty() {
            let length = text[position..].chars().next().map_or(1, char::len_utf8);
            view.extend(literal(&text[position..position + length], position));
            position += length;
        } else {
            view.extend(decoded(&bytes, position));
            position += bytes.len() * ESCAPE_BYTES;
        }
    }
    view
}

/// Returns the bytes that the escapes at the beginning of a text encode.
fn escaped_bytes(text: &[u8], escape: u8) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    text.chunks_exact(ESCAPE_BYTES)
        .map_while(|chunk| match *chunk {
            [first, high, low] if first == escape => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

/// Returns the characters of bytes whose escapes begin at `start`. Skips bytes that are not UTF-8.
fn decoded(bytes: &[u8], start: usize) -> View {
    let (mut view, mut offset) = (View::new(), 0);
    for chunk in bytes.utf8_chunks() {
        for (c, within) in literal(chunk.valid(), offset) {
            let range = start + within.start * ESCAPE_BYTES..start + within.end * ESCAPE_BYTES;
            view.push((c, range));
        }
        offset += chunk.valid().len() + chunk.invalid().len();
    }
    view
}

/// Returns the ranges of base64, standard or URL-safe, that contain one of the folded texts.
pub(super) fn encoded_spans(text: &str, needles: &[String]) -> Vec<Range<usize>> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let (mut spans, mut start) = (Vec::new(), 0);
    for run in text.split(|c| !is_base64(c)) {
        if base64_contains(run, needles) {
            let end = start + run.len();
            let padding = text[end..].bytes().take_while(|byte| *byte == b'=').count();
            spans.push(start..end + padding);
        }
        start += run.len();
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
    spans
}

/// Returns whether a run of base64 characters contains one of the texts. The base64 may directly follow other characters of the
/// alphabet, so decoding starts at each of the first four.
fn base64_contains(run: &str, needles: &[String]) -> bool {
    let run = run.replace('-', "+").replace('_', "/");
    (0..4).filter_map(|start| run.get(start..)).any(|run| {
        // A single last character encodes less than a byte.
        let length = run.len() - usize::from(run.len() % 4 == 1);
        let bytes = BASE64.decode(&run[..length]).unwrap_or_default();
        let text = folded(&String::from_utf8_lossy(&bytes));
        let is_there =
            |needle: &&String| needle.len() >= MIN_ENCODED_BYTES && text.contains(needle.as_str());
        needles.iter().any(|needle| is_there(&needle))
    })
}
