//! The forms in which a server may repeat a text: other letter case or width, escaped characters, base64 and other encodings.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use crate::transport::redaction::is_invisible;

/// The folded characters of a text, each with the range of bytes that it comes from.
pub(super) type View = Vec<(char, Range<usize>)>;

/// Returns a text in the form that [`View`]s compare: NFKC, in lower case, without invisible characters.
pub(super) fn folded(text: &str) -> Vec<char> {
    text.chars().flat_map(fold).collect()
}

fn fold(c: char) -> impl Iterator<Item = char> {
    let visible = (!is_invisible(c)).then_some(c);
    visible.into_iter().nfkc().flat_map(char::to_lowercase)
}

/// Returns the text itself, and the text with the escapes of each kind decoded.
pub(super) fn views(text: &str) -> Vec<View> {
    let lower = text.to_ascii_lowercase();
    let unescaped = ESCAPES
        .iter()
        .filter(|escape| lower.contains(escape.prefix))
        .map(|escape| Bytes::unescaped(text, |rest| escape.parse(rest)).view());
    let literal = Bytes::unescaped(text, |_| None).view();
    let named = Bytes::unescaped(text, parse_reference).view();
    [literal, named].into_iter().chain(unescaped).collect()
}

/// Returns the encoded texts (RFC 4648) in which `find` finds something, whatever characters separate those of the encoding. An
/// encoded text may begin anywhere, so decoding starts at each of the first characters.
pub(super) fn encoded_spans(
    text: &str,
    find: impl Fn(&View) -> Vec<Range<usize>>,
) -> Vec<Range<usize>> {
    ENCODINGS
        .iter()
        .flat_map(|encoding| {
            (0..encoding.group).map(|skipped| encoding.decode(text, skipped).view())
        })
        .flat_map(|view| find(&view))
        .map(|span| extended(text, span))
        .collect()
}

/// Extends a range to all of the encoded text that it is a part of.
fn extended(text: &str, span: Range<usize>) -> Range<usize> {
    let is_encoded = |c: char| base64_value(c).is_some();
    let before = text[..span.start].trim_end_matches(is_encoded);
    let after = text[span.end..].trim_start_matches(is_encoded);
    before.len()..text.len() - after.trim_start_matches('=').len()
}

/// Decoded bytes, each with the range of bytes of the text that it comes from.
#[derive(Default)]
struct Bytes {
    bytes: Vec<u8>,
    sources: Vec<Range<usize>>,
}

impl Bytes {
    fn push(&mut self, byte: u8, source: Range<usize>) {
        self.bytes.push(byte);
        self.sources.push(source);
    }

    /// Decodes the escapes that `parse` finds at the beginning of the rest of a text.
    fn unescaped(text: &str, parse: impl Fn(&str) -> Option<(Vec<u8>, usize)>) -> Self {
        let (mut decoded, mut start) = (Self::default(), 0);
        while let Some(c) = text[start..].chars().next() {
            let (bytes, length) =
                parse(&text[start..]).unwrap_or_else(|| (c.to_string().into_bytes(), c.len_utf8()));
            for byte in bytes {
                decoded.push(byte, start..start + length);
            }
            start += length;
        }
        decoded
    }

    /// Returns the characters of the bytes. Skips bytes that are not UTF-8.
    fn view(&self) -> View {
        let (mut view, mut start) = (View::new(), 0);
        for chunk in self.bytes.utf8_chunks() {
            for (offset, c) in chunk.valid().char_indices() {
                let sources = &self.sources[start + offset..start + offset + c.len_utf8()];
                let range = sources[0].start..sources[sources.len() - 1].end;
                view.extend(fold(c).map(|folded| (folded, range.clone())));
            }
            start += chunk.valid().len() + chunk.invalid().len();
        }
        view
    }
}

/// A way to write a character as a number.
struct Escape {
    /// The beginning in lower case. Servers write it in any.
    prefix: &'static str,
    radix: u32,
    /// The number of digits, or the maximum if `end` follows.
    digits: usize,
    end: &'static str,
    /// Whether the number is a byte of UTF-8, not a code point.
    is_byte: bool,
}

/// The maximum length of a character reference, in digits. Zeros may precede its number.
const MAX_REFERENCE_DIGITS: usize = 16;

/// The named character references of HTML for the characters that it reserves, and for a space.
const NAMED: [(&str, &str); 6] = [
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&nbsp;", " "),
];

/// Percent-encoding (RFC 3986, 2.1), quoted-printable (RFC 2045, 6.7), xtext (RFC 3461, 4), the escapes of programming languages,
/// and the character references of HTML.
const ESCAPES: [Escape; 12] = [
    Escape::byte("%"),
    Escape::byte("="),
    Escape::byte("+"),
    Escape::byte("\\x"),
    Escape {
        radix: 8,
        digits: 3,
        ..Escape::byte("\\")
    },
    Escape::code_point("\\u", 16, 4, ""),
    Escape::code_point("\\u", 16, 8, ""),
    Escape::code_point("%u", 16, 4, ""),
    Escape::code_point("\\u{", 16, MAX_REFERENCE_DIGITS, "}"),
    Escape::code_point("\\x{", 16, MAX_REFERENCE_DIGITS, "}"),
    Escape::code_point("&#", 10, MAX_REFERENCE_DIGITS, ";"),
    Escape::code_point("&#x", 16, MAX_REFERENCE_DIGITS, ";"),
];

impl Escape {
    const fn byte(prefix: &'static str) -> Self {
        Self {
            prefix,
            radix: 16,
            digits: 2,
            end: "",
            is_byte: true,
        }
    }

    const fn code_point(
        prefix: &'static str,
        radix: u32,
        digits: usize,
        end: &'static str,
    ) -> Self {
        Self {
            prefix,
            radix,
            digits,
            end,
            is_byte: false,
        }
    }

    /// Returns the UTF-8 that the escape at the beginning of a text stands for, and the length of the escape.
    fn parse(&self, text: &str) -> Option<(Vec<u8>, usize)> {
        let (prefix, rest) = text.split_at_checked(self.prefix.len())?;
        if !prefix.eq_ignore_ascii_case(self.prefix) {
            return None;
        }
        let is_digit = |byte: &u8| char::from(*byte).is_digit(self.radix);
        let digits = rest.bytes().take(self.digits).take_while(is_digit).count();
        let is_complete = digits == self.digits || !self.end.is_empty();
        if !is_complete || digits == 0 {
            return None;
        }
        // Browsers do not need the end of a reference.
        let end = if rest[digits..].starts_with(self.end) {
            self.end.len()
        } else {
            0
        };
        let value = u32::from_str_radix(&rest[..digits], self.radix).ok()?;
        let bytes = if self.is_byte {
            vec![u8::try_from(value).ok()?]
        } else {
            char::from_u32(value)?.to_string().into_bytes()
        };
        Some((bytes, self.prefix.len() + digits + end))
    }
}

/// Returns the character that an HTML reference at the beginning of a text stands for, and the length of the reference.
fn parse_reference(text: &str) -> Option<(Vec<u8>, usize)> {
    let named = NAMED.iter().find(|(name, _)| {
        let start = text.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    });
    let named = named.map(|(name, c)| (c.as_bytes().to_vec(), name.len()));
    let numbers = ESCAPES
        .iter()
        .filter(|escape| escape.prefix.starts_with('&'));
    named.or_else(|| numbers.rev().find_map(|escape| escape.parse(text)))
}

/// An encoding of bytes by characters that stand for some bits each.
struct Encoding {
    bits: u32,
    /// The number of characters that stand for whole bytes.
    group: usize,
    value: fn(char) -> Option<u32>,
}

/// Base64, standard and URL-safe, base32, and hexadecimal digits (RFC 4648, 4 to 8).
const ENCODINGS: [Encoding; 3] = [
    Encoding {
        bits: 6,
        group: 4,
        value: base64_value,
    },
    Encoding {
        bits: 5,
        group: 8,
        value: base32_value,
    },
    Encoding {
        bits: 4,
        group: 2,
        value: |c| c.to_digit(16),
    },
];

impl Encoding {
    /// Decodes the characters of the encoding in a text, after the first of them.
    fn decode(&self, text: &str, skipped: usize) -> Bytes {
        let mut decoded = Bytes::default();
        // The bits that do not yet form a whole byte, their number, and the start of their first character.
        let (mut bits, mut count, mut start) = (0_u32, 0, 0);
        let marked = (self.bits == 4).then(|| without_marks(text));
        let text = marked.as_deref().unwrap_or(text);
        let digits = text
            .char_indices()
            .filter_map(|(offset, c)| Some((offset..offset + c.len_utf8(), (self.value)(c)?)));
        for (range, value) in digits.skip(skipped) {
            if count == 0 {
                start = range.start;
            }
            bits = bits << self.bits | value;
            count += self.bits;
            if count >= u8::BITS {
                count -= u8::BITS;
                decoded.push(bits.wrapping_shr(count).to_le_bytes()[0], start..range.end);
                bits &= (1 << count) - 1;
                start = range.start;
            }
        }
        decoded
    }
}

/// Replaces the marks of hexadecimal numbers (`0x`, `0X`) by blanks, as their zeros are no digits.
fn without_marks(text: &str) -> String {
    let mut without = text.to_owned();
    for (start, mark) in text.to_ascii_lowercase().match_indices("0x") {
        let is_digit = text[..start].ends_with(|c: char| c.is_ascii_hexdigit());
        if !is_digit {
            without.replace_range(start..start + mark.len(), "  ");
        }
    }
    without
}

fn base64_value(c: char) -> Option<u32> {
    let c32 = u32::from(c);
    match c {
        'A'..='Z' => Some(c32 - u32::from('A')),
        'a'..='z' => Some(c32 - u32::from('a') + 26),
        '0'..='9' => Some(c32 - u32::from('0') + 52),
        '+' | '-' => Some(62),
        '/' | '_' => Some(63),
        _ => None,
    }
}

fn base32_value(c: char) -> Option<u32> {
    match c.to_ascii_lowercase() {
        letter @ 'a'..='z' => Some(u32::from(letter) - u32::from('a')),
        digit @ '2'..='7' => Some(u32::from(digit) - u32::from('2') + 26),
        _ => None,
    }
}
