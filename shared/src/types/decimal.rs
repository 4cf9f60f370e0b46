//! Decimal digits of all scripts.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Returns the value of a decimal digit (general category Nd) of any script, 0 to 9.
///
/// The digits of a script are ten consecutive code points that start with zero, as the Unicode stability policy guarantees. Some
/// scripts follow each other directly, as the mathematical digits do, so a run has a multiple of ten digits.
#[must_use]
pub fn value(c: char) -> Option<u32> {
    if let Some(value) = c.to_digit(10) {
        return Some(value);
    }
    if !is_decimal(c) {
        return None;
    }
    let mut before = 0;
    while is_decimal(char::from_u32(u32::from(c) - before - 1)?) {
        before += 1;
    }
    Some(before % 10)
}

/// Converts digits of all scripts and dashes to ASCII, and drops invisible marks.
#[must_use]
pub fn to_ascii(text: &str) -> String {
    let ascii = |c| match value(c) {
        Some(value) => char::from_digit(value, 10).unwrap_or(c),
        None if is_dash(c) => '-',
        None => c,
    };
    let visible = text.chars().filter(|c| !is_invisible(*c));
    visible.map(ascii).collect()
}

/// Returns the code point of the zero of a digit's system.
#[must_use]
pub(crate) fn zero(c: char) -> Option<u32> {
    value(c).map(|value| u32::from(c) - value)
}

/// Returns whether a character is an invisible mark that keyboards and copied text add to digits: zero-width and bidirectional
/// marks.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns whether a character is a hyphen or dash: ASCII, typographic, a minus sign, or full-width.
#[must_use]
pub fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}')
}

fn is_decimal(c: char) -> bool {
    c.general_category() == GeneralCategory::DecimalNumber
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_of_each_script_is_its_digit() {
        for (zero, script) in [
            ('0', "ASCII"),
            ('\u{660}', "Arabic-Indic"),
            ('\u{6f0}', "extended Arabic-Indic"),
            ('\u{966}', "Devanagari"),
            ('\u{ff10}', "full-width"),
            (
                '\u{1d7d8}',
                "mathematical double-struck, the second of five runs",
            ),
            ('\u{1d7f6}', "mathematical monospace, the last"),
        ] {
            for value in 0..10 {
                let digit = char::from_u32(u32::from(zero) + value).unwrap();
                assert_eq!(super::value(digit), Some(value), "{script}");
                assert_eq!(super::zero(digit), Some(u32::from(zero)), "{script}");
            }
        }
    }

    #[test]
    fn digits_and_dashes_become_ascii() {
        assert_eq!(to_ascii("\u{200f}١٩٩٠–٠٢\u{2212}28"), "1990-02-28");
        assert_eq!(to_ascii("28. März"), "28. März");
    }

    #[test]
    fn value_of_other_numbers_is_none() {
        for other in ['a', '\0', '\u{bd}', '\u{2460}', '\u{4e09}', '\u{2166}'] {
            assert_eq!(value(other), None, "{other}");
        }
    }
}
