//! Reads text as ASCII: look-alike letters, accents and digits of other scripts, for comparisons with known words.

use unicode_normalization::{UnicodeNormalization as _, char::canonical_combining_class};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_security::skeleton;

use crate::types::decimal;

/// A way to read letters that look like several ASCII letters.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    /// By the lower case: `І` looks like `l`, but its lower case looks like `i`.
    LowerCase,
    /// As written: `В` looks like `B`, but its lower case looks like no ASCII letter.
    AsWritten,
    /// As written, with `i` for letters that look like `l`: the capital I of scripts without cases, such as Lisu.
    CapitalI,
}

/// Letters and digits in circles and squares that NFKD and UTS #39 keep: the first of each block, the character that it stands for,
/// and their number.
const ENCLOSED: [(char, char, u32); 6] = [
    ('\u{1f150}', 'a', 26),
    ('\u{1f170}', 'a', 26),
    // Regional indicators, whose pairs are flags.
    ('\u{1f1e6}', 'a', 26),
    ('\u{2776}', '1', 9),
    ('\u{2780}', '1', 9),
    ('\u{278a}', '1', 9),
];

/// Returns a text in lower case as people may read it: without accents (NFKD) and enclosing shapes, and with ASCII letters in place of
/// look-alikes (Unicode Technical Standard #39, section 4). Letters without an ASCII look-alike stay. There are three readings,
/// because a letter may look like several others.
#[must_use]
pub fn ascii_readings(text: &str) -> [String; 3] {
    // Composed again, because the parts of Hangul syllables look like ASCII letters.
    let plain: String = text.nfkd().filter(|c| !is_accent(*c)).nfc().collect();
    [Reading::LowerCase, Reading::AsWritten, Reading::CapitalI]
        .map(|reading| plain.chars().map(|c| read(c, reading)).collect())
}

/// Returns whether a character is an accent or a vowel point of Hebrew or Arabic, by its combining class (Unicode Standard,
/// section 4.3). Vowel signs of Devanagari and Thai and the sound marks of kana are not: readers see them as letters.
pub(crate) fn is_accent(c: char) -> bool {
    matches!(canonical_combining_class(c), 1 | 10..=36 | 200..)
        || c.general_category() == GeneralCategory::EnclosingMark
}

fn read(c: char, reading: Reading) -> String {
    if let Some(digit) = decimal::value(c).and_then(|value| char::from_digit(value, 10)) {
        return digit.to_string();
    }
    if let Some(enclosed) = enclosed(c) {
        return enclosed.to_string();
    }
    let lower: String = c.to_lowercase().collect();
    match (c, reading) {
        // UTS #39 lists these as look-alikes of the Greek beta.
        ('ß' | 'ẞ', Reading::LowerCase) => return "ss".to_owned(),
        ('ß' | 'ẞ', _) => return "b".to_owned(),
        _ if c.is_ascii() => return lower,
        _ => {}
    }
    let own = c.to_string();
    let cases = match reading {
        Reading::LowerCase => [&lower, &own],
        Reading::AsWritten | Reading::CapitalI => [&own, &lower],
    };
    let look_alike = cases
        .into_iter()
        .find_map(|letter| ascii_look_alike(letter, reading));
    look_alike.unwrap_or(lower)
}

/// Returns the letter or digit in a circle or square.
fn enclosed(c: char) -> Option<char> {
    ENCLOSED.into_iter().find_map(|(first, letter, count)| {
        let offset = u32::from(c).checked_sub(u32::from(first))?;
        char::from_u32(u32::from(letter) + offset).filter(|_| offset < count)
    })
}

/// Returns the ASCII letters and digits that a letter looks like. Empty for an invisible character.
fn ascii_look_alike(letter: &str, reading: Reading) -> Option<String> {
    let seen: String = skeleton(letter)
        .filter(|c| !is_accent(*c))
        // UTS #39 maps a capital I to `l`; an L stays `L`.
        .map(|c| match c {
            'l' if reading == Reading::CapitalI => 'i',
            _ => c.to_ascii_lowercase(),
        })
        .collect();
    match seen.as_str() {
        // The form of `m` in UTS #39.
        "rn" => Some("m".to_owned()),
        _ => seen
            .chars()
            .all(|c| c.is_ascii_alphanumeric())
            .then_some(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookalikes_accents_and_digits_read_as_ascii() {
        for (text, expected) in [
            ("pässword", "password"),
            ("p\u{430}ssword1", "password1"),
            ("\u{420}\u{410}\u{405}\u{405}WORD", "password"),
            ("\u{440}\u{430}\u{455}\u{455}w\u{43e}rd", "password"),
            ("\u{391}\u{392}\u{395}\u{396}", "abez"),
            ("adm\u{456}n", "admin"),
            ("ADM\u{406}N", "admin"),
            ("pa\u{20dd}ss\u{200b}w\u{ad}ord", "password"),
            ("p\u{336}a\u{336}ss", "pass"),
            ("\u{f8}\u{142}\u{111}", "old"),
            ("pa\u{df}word", "password"),
            ("\u{ff50}\u{1d41a}\u{24e2}s", "pass"),
            ("\u{661}\u{96c}\u{ff13}", "163"),
            ("m\u{217f}l", "mml"),
            ("Velvet 1|!", "velvet 1|!"),
            ("🅐🆉🇦🇿❶➈➌", "azaz193"),
            ("\u{a4ee}\u{a4e1}\u{a4f2}", "ali"),
        ] {
            let readings = ascii_readings(text);
            assert!(
                readings.contains(&expected.to_owned()),
                "{text}: {readings:?}"
            );
        }
    }

    #[test]
    fn letters_without_ascii_lookalike_stay() {
        for text in ["жщюя", "हिन्दी", "漢字", "한국어", "שלם", "ガギグ", "บ้าน"]
        {
            assert!(ascii_readings(text).contains(&text.to_owned()), "{text}");
        }
    }
}
