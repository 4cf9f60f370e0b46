//! Reads text as ASCII: look-alike letters, accents and digits of other scripts, for comparisons with known words.

use unicode_normalization::{UnicodeNormalization as _, char::canonical_combining_class};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_security::skeleton;

use crate::types::decimal;

/// The case of a letter that is compared first. `В` looks like `B`, but its lower case looks like no ASCII letter. `І` looks like
/// `l`, but its lower case looks like `i`.
#[derive(Clone, Copy)]
enum First {
    AsWritten,
    LowerCase,
}

/// Returns a text in lower case as people may read it: without accents (NFKD), and with ASCII letters in place of look-alikes
/// (Unicode Technical Standard #39, section 4). Letters without an ASCII look-alike stay. There are two readings, because the
/// two cases of a letter may look like different letters.
#[must_use]
pub fn ascii_readings(text: &str) -> [String; 2] {
    // Composed again, because the parts of Hangul syllables look like ASCII letters.
    let plain: String = text.nfkd().filter(|c| !is_accent(*c)).nfc().collect();
    [First::LowerCase, First::AsWritten]
        .map(|first| plain.chars().map(|c| read(c, first)).collect())
}

/// Returns whether a character is an accent or a vowel point of Hebrew or Arabic, by its combining class (Unicode Standard,
/// section 4.3). Vowel signs of Devanagari and Thai and the sound marks of kana are not: readers see them as letters.
fn is_accent(c: char) -> bool {
    matches!(canonical_combining_class(c), 1 | 10..=36 | 200..)
        || c.general_category() == GeneralCategory::EnclosingMark
}

fn read(c: char, first: First) -> String {
    if let Some(digit) = decimal::value(c).and_then(|value| char::from_digit(value, 10)) {
        return digit.to_string();
    }
    let lower: String = c.to_lowercase().collect();
    match (c, first) {
        // UTS #39 lists these as look-alikes of the Greek beta.
        ('ß' | 'ẞ', First::LowerCase) => return "ss".to_owned(),
        ('ß' | 'ẞ', First::AsWritten) => return "b".to_owned(),
        _ if c.is_ascii() => return lower,
        _ => {}
    }
    let own = c.to_string();
    let cases = match first {
        First::AsWritten => [&own, &lower],
        First::LowerCase => [&lower, &own],
    };
    let look_alike = cases
        .into_iter()
        .find_map(|letter| ascii_look_alike(letter));
    look_alike.unwrap_or(lower)
}

/// Returns the ASCII letters and digits that a letter looks like. Empty for an invisible character.
fn ascii_look_alike(letter: &str) -> Option<String> {
    let seen: String = skeleton(letter)
        .filter(|c| !is_accent(*c))
        .flat_map(char::to_lowercase)
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
