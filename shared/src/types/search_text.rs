//! Folded text for searches: spellings that readers take for the same word become equal.

use unicode_normalization::UnicodeNormalization as _;

use crate::types::{ascii_reading::is_accent, decimal, visibility::is_default_ignorable};

/// The Arabic tatweel, which only stretches a word.
const TATWEEL: char = '\u{640}';

/// Folds a text: compatibility forms (NFKD), letters without marks, lower case, ASCII digits, and one form of each Arabic letter
/// that writers interchange. Invisible characters are left out. Folding a folded text changes nothing.
///
/// Combining marks that are letters of their own stay, such as the vowel signs of Devanagari.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let letters = text
        .nfkd()
        .filter(|c| !is_accent(*c) && !is_default_ignorable(*c) && *c != TATWEEL)
        .flat_map(char::to_lowercase)
        // Some lower-case letters decompose.
        .nfkd()
        .filter(|c| !is_accent(*c));
    for c in letters {
        match replacement(c) {
            Some(letters) => folded.push_str(letters),
            None => folded.push(digit(c).unwrap_or(c)),
        }
    }
    // Composes Hangul syllables and kana again, so that a syllable is one character.
    folded.nfc().collect()
}

/// Returns the folded form of a letter that has no decomposition.
fn replacement(c: char) -> Option<&'static str> {
    Some(match c {
        // Alef wasla, ta marbuta, alef maqsura, and the Persian forms of yeh and kaf.
        'ٱ' => "ا",
        'ة' => "ه",
        'ى' | 'ی' => "ي",
        'ک' => "ك",
        // Latin letters with a stroke, ligatures, dotless i, and the final sigma.
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ŧ' => "t",
        'ı' => "i",
        'æ' => "ae",
        'œ' => "oe",
        'ß' => "ss",
        'þ' => "th",
        'ς' => "σ",
        _ => return None,
    })
}

/// Returns the ASCII digit of a decimal digit of another script.
fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return None;
    }
    char::from_digit(decimal::value(c)?, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fold_merges_spellings_of_one_word() {
        for (spellings, folded) in [
            (&["Müller", "MU\u{308}LLER", "muller"][..], "muller"),
            (&["Łódź", "Lodz"], "lodz"),
            (&["Straße", "STRASSE", "STRAẞE"], "strasse"),
            (&["İpek", "Ipek", "ıpek"], "ipek"),
            (&["Æon Ørsted", "aeon orsted"], "aeon orsted"),
            (&["ΝΊΚΟΣ", "Νίκος"], "νικοσ"),
            (
                &["أحمد", "احمد", "إحمد", "آحمد", "ٱحمد", "أَحْمَد", "أحـــمد"],
                "احمد",
            ),
            (&["فاطمة", "فاطمه"], "فاطمه"),
            (&["مصطفى", "مصطفي", "مصطفی"], "مصطفي"),
            (&["مؤمن", "مومن"], "مومن"),
            (&["٠١٠", "۰۱۰", "０１０"], "010"),
            (&["ﬁne", "fi\u{200d}ne", "f\u{ad}ine"], "fine"),
            (&["한국", "한국".nfd().collect::<String>().as_str()], "한국"),
        ] {
            for text in spellings {
                assert_eq!(fold(text), folded, "{text}");
            }
            assert_eq!(fold(folded), folded);
        }
    }

    #[test]
    fn fold_keeps_letters_of_other_scripts() {
        for text in [
            "жщюя",
            "हिन्दी",
            "漢字",
            "שלם",
            "ガギグ",
            "บ้าน",
            "+201001234567",
            "a_b%c\\",
        ] {
            assert_eq!(fold(text), text, "{text}");
        }
    }
}
