//! The forms in which a server may repeat a text: other letter case and width, escaped characters, base64.

use std::ops::Range;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use unicode_normalization::UnicodeNormalization as _;

use crate::transport::redaction::is_invisible;

/// What begins an escape of two hexadecimal digits: percent-encoding (RFC 3986, 2.1), quoted-printable (RFC 2045, 6.7) and
/// xtext (RFC 3461, 4).
const ESCAPES: [u8; 3] = [b'%', b'=', b'+'];

/// The length of an escape, in bytes.
const ESCAPE_BYTES: usize = 3;

/// The shortest text that is looked for in decoded base64, in bytes: shorter ones are found by chance.
const MIN_ENCODED_BYTES: usize = 4;

/// Decodes base64 with or without padding, also where it was cut.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The characters of a text, folded, each with the bytes that it comes from.
pub(super) type View = Vec<(char, Range<usize>)>;

/// Returns a text as [`View`]s compare it: compatibility forms replaced, in lower case, without invisible characters.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(fold).collect()
}

fn fold(c: char) -> impl Iterator<Item = char> {
    let visible = (!is_invisible(c)).then_some(c);
    visible.into_iter().nfkc().flat_map(char::to_lowercase)
}

/// A text as it is, and with the escapes of each kind decoded.
pub(super) fn views(text: &str) -> Vec<View> {
    let unescaped = ESCAPES
        .into_iter()
        .filter(|escape| text.as_bytes().contains(escape))
        .map(|escape| unescaped(text, escape));
    std::iter::once(literal(text, 0)).chain(unescaped).collect()
}

fn literal(text: &str, start: usize) -> View {
    text.char_indices()
        .flat_map(|(place, c)| {
            let place = start + place;
            fold(c).map(move |folded| (folded, place..place + c.len_utf8()))
        })
        .collect()
}

fn unescaped(text: &str, escape: u8) -> View {
    let (mut view, mut place) = (View::new(), 0);
    while place < text.len() {
        let bytes = escaped_bytes(&text.as_bytes()[place..], escape);
        if bytes.is_empty() {
            let length = text[place..].chars().next().map_or(1, char::len_utf8);
            view.extend(literal(&text[place..place + length], place));
            place += length;
        } else {
            view.extend(decoded(&bytes, place));
            place += bytes.len() * ESCAPE_BYTES;
        }
    }
    view
}

/// The bytes that the escapes at the beginning of a text stand for.
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

/// The characters of bytes whose escapes begin at a place. Bytes that are no UTF-8 are left out.
fn decoded(bytes: &[u8], place: usize) -> View {
    let (mut view, mut offset) = (View::new(), 0);
    for chunk in bytes.utf8_chunks() {
        for (c, within) in literal(chunk.valid(), offset) {
            let at = place + within.start * ESCAPE_BYTES..place + within.end * ESCAPE_BYTES;
            view.push((c, at));
        }
        offset += chunk.valid().len() + chunk.invalid().len();
    }
    view
}

/// Where a text has base64, standard or URL-safe, that holds one of these folded texts.
pub(super) fn encoded_spans(text: &str, needles: &[String]) -> Vec<Range<usize>> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let (mut spans, mut start) = (Vec::new(), 0);
    for run in text.split(|c| !is_base64(c)) {
        if holds(run, needles) {
            let end = start + run.len();
            let padding = text[end..].bytes().take_while(|byte| *byte == b'=').count();
            spans.push(start..end + padding);
        }
        start += run.len();
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
    spans
}

/// Whether a run of base64 characters holds one of these texts. It may follow other characters of the alphabet directly, so
/// it is decoded from each of the first four on.
fn holds(run: &str, needles: &[String]) -> bool {
    let run = run.replace('-', "+").replace('_', "/");
    (0..4).filter_map(|start| run.get(start..)).any(|run| {
        // A single last character holds less than a byte.
        let length = run.len() - usize::from(run.len() % 4 == 1);
        let bytes = BASE64.decode(&run[..length]).unwrap_or_default();
        let text = folded(&String::from_utf8_lossy(&bytes));
        let is_there =
            |needle: &&String| needle.len() >= MIN_ENCODED_BYTES && text.contains(needle.as_str());
        needles.iter().any(|needle| is_there(&needle))
    })
}
