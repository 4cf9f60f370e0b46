//! Variations of a word that users write, as steps that undo them. Each step also keeps the text as it is:
//!
//! 1. [`without_separator`], [`without_interleaved`] and [`bare`] remove signs between the characters.
//! 2. [`cores`] removes digits and signs around the word.
//! 3. [`unit`] is the word that the text repeats.
//! 4. [`spellings`] replaces signs and digits by letters.
//! 5. [`reversed`].

use std::collections::BTreeSet;

use crate::passwords::sequences::is_sequence;

/// Maximum number of characters around a word that are ignored.
const MAX_AROUND: usize = 6;

/// Characters that replace letters, with the letters that they replace.
const SUBSTITUTES: [(char, &str); 21] = [
    ('@', "a"),
    ('4', "a"),
    ('8', "b"),
    ('(', "c"),
    ('[', "c"),
    ('{', "c"),
    ('<', "c"),
    ('3', "e"),
    ('€', "e"),
    ('6', "g"),
    ('9', "g"),
    ('1', "il"),
    ('!', "il"),
    ('|', "il"),
    ('0', "o"),
    ('$', "s"),
    ('5', "s"),
    ('+', "t"),
    ('7', "tl"),
    ('%', "x"),
    ('2', "z"),
];

/// Minimum length of a word without letters that has ignored characters around it. Many random numbers contain a shorter one.
const MIN_LETTERLESS: usize = 8;

/// Returns the letters and digits of a text.
pub(super) fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Returns the letters of a text.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

/// Returns a text without the sign that occurs most often between its letters and digits, at least twice: `p-4-$-$` is `p4$$`.
pub(super) fn without_separator(text: &str) -> Option<String> {
    let inner = text.trim_matches(|c: char| !c.is_alphanumeric());
    // Signs at the end may be substitutes for letters, which the separator follows and precedes, too.
    let separator = [inner, text].into_iter().find_map(|part| {
        let signs = part.chars().filter(|c| !c.is_alphanumeric());
        let separator = signs.max_by_key(|sign| part.matches(*sign).count())?;
        (part.matches(separator).count() > 1).then_some(separator)
    })?;
    Some(text.replace(separator, ""))
}

/// Returns the characters at odd positions of a text whose other characters are one sign: `p@@@s@s` is `p@ss`.
pub(super) fn without_interleaved(text: &str) -> Option<String> {
    let mut signs = text.chars().skip(1).step_by(2);
    let sign = signs.next().filter(|sign| !sign.is_alphanumeric())?;
    if signs.any(|other| other != sign) {
        return None;
    }
    let word: String = text.chars().step_by(2).collect();
    (word.chars().count() > 2).then_some(word)
}

/// Reverses a text.
pub(super) fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// Returns the shortest text whose repetition gives `text`, even if its last occurrence is truncated, or `text` itself.
pub(super) fn unit(text: &str) -> &str {
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

/// Returns the text with and without digits and signs around it: at most [`MAX_AROUND`] characters, or beside a letter any number that
/// form a sequence. The innermost of them may replace letters of the word, so each number of them is tried.
pub(super) fn cores(text: &str) -> BTreeSet<&str> {
    let mut cores = BTreeSet::from([text]);
    let inner = text.trim_matches(|c: char| !c.is_alphabetic());
    if inner.is_empty() {
        cores.extend(letterless_cores(text, MIN_LETTERLESS));
        return cores;
    }
    let start = text.len() - text.trim_start_matches(|c: char| !c.is_alphabetic()).len();
    let (prefix, suffix) = (&text[..start], &text[start + inner.len()..]);
    let before = removable(boundaries(prefix).map(|end| &prefix[..end]).collect());
    let after = removable(
        boundaries(suffix)
            .map(|start| &suffix[start..])
            .rev()
            .collect(),
    );
    for (before, before_weight) in before {
        for (after, after_weight) in &after {
            let core = &text[before.len()..text.len() - after.len()];
            if before_weight + after_weight <= MAX_AROUND {
                cores.insert(core);
            }
        }
    }
    cores
}

/// Returns what remains of a text without letters, of at least `min_length` characters, when up to [`MAX_AROUND`] characters at its
/// ends are removed. Returns nothing for a text with letters.
pub(super) fn letterless_cores(text: &str, min_length: usize) -> Vec<&str> {
    if text.contains(char::is_alphabetic) {
        return Vec::new();
    }
    let places: Vec<usize> = boundaries(text).collect();
    let length = places.len() - 1;
    let removed = (0..=MAX_AROUND)
        .flat_map(|before| (0..=MAX_AROUND - before).map(move |after| (before, after)));
    removed
        .filter(|(before, after)| before + after + min_length <= length)
        .map(|(before, after)| &text[places[before]..places[length - after]])
        .collect()
}

/// Returns the positions between the characters of a text, and its start and end.
fn boundaries(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    let starts = text.char_indices().map(|(start, _)| start);
    starts.chain([text.len()])
}

/// Returns the parts of a run of digits and signs that may be ignored, with the number of characters that count. `parts` are its
/// outermost characters: none, one, and so on up to the whole run. The longest part that is a sequence counts nothing.
fn removable(parts: Vec<&str>) -> Vec<(&str, usize)> {
    let mut long = parts.iter().rev().take(MAX_AROUND + 1);
    let sequence = long.find(|part| is_sequence(part)).map(|part| (*part, 0));
    parts
        .into_iter()
        .zip(0..=MAX_AROUND)
        .chain(sequence)
        .collect()
}

/// Returns the number of combinations of substitutes and letters in a word.
pub(super) fn combinations(word: &str) -> usize {
    let choices = word.chars().map(|c| 1 + letters_for(c).len());
    choices.fold(1, usize::saturating_mul)
}

/// Returns a word with each substitute as it is and as each letter that it replaces, independently of the others: `m!che11e` has an
/// i and two l. If there are more than `limit` combinations, returns those that treat all digits alike and all signs alike.
pub(super) fn spellings(word: &str, limit: usize) -> Vec<String> {
    if combinations(word) > limit {
        return uniform_spellings(word);
    }
    let mut spellings = vec![String::new()];
    for c in word.chars() {
        let replaced: Vec<_> = letters_for(c)
            .chars()
            .flat_map(|letter| {
                spellings
                    .iter()
                    .map(move |start| format!("{start}{letter}"))
            })
            .collect();
        for spelling in &mut spellings {
            spelling.push(c);
        }
        spellings.extend(replaced);
    }
    spellings
}

/// Returns a word as it is, with letters for its signs, and with letters for its signs and digits: each the first or the last letter
/// that it replaces.
fn uniform_spellings(word: &str) -> Vec<String> {
    let spelled = |keeps_digits: bool, letter: fn(&str) -> Option<char>| {
        let spell = |c: char| {
            let letters = Some(letters_for(c)).filter(|_| !(keeps_digits && c.is_ascii_digit()));
            letters.and_then(letter).unwrap_or(c)
        };
        word.chars().map(spell).collect()
    };
    let first = |letters: &str| letters.chars().next();
    let last = |letters: &str| letters.chars().next_back();
    vec![
        word.to_owned(),
        spelled(true, first),
        spelled(true, last),
        spelled(false, first),
        spelled(false, last),
    ]
}

/// Returns the letters that a character replaces, or an empty text.
fn letters_for(c: char) -> &'static str {
    SUBSTITUTES
        .iter()
        .find(|(sign, _)| *sign == c)
        .map_or("", |(_, letters)| letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separator_is_most_frequent_sign() {
        for (text, expected) in [
            ("p-4-$-$", Some("p4$$")),
            ("1-p@ss-1!", Some("1p@ss1!")),
            ("p @ s s ", Some("p@ss")),
            ("p@ss-1", None),
            ("pass", None),
            ("", None),
        ] {
            assert_eq!(without_separator(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn interleaved_sign_is_removed_beside_its_own_kind() {
        for (text, expected) in [
            ("p@@@s@s@w@o@r@d", Some("p@ssword")),
            ("m.y...c", Some("my.c")),
            ("g o   d", Some("go d")),
            ("p1a1s1s", None),
            ("p@a-s", None),
            ("p@s", None),
            ("pass", None),
            ("", None),
        ] {
            assert_eq!(without_interleaved(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn substitutes_have_all_spellings_up_to_the_limit() {
        let sorted = |word, limit| spellings(word, limit).into_iter().collect::<BTreeSet<_>>();
        let expected = ["07a", "0la", "0ta", "o7a", "ola", "ota"];
        assert!(
            sorted("07a", 6).iter().eq(expected),
            "{:?}",
            sorted("07a", 6)
        );
        let expected = ["0$7", "0s7", "osl", "ost"];
        assert!(
            sorted("0$7", 11).iter().eq(expected),
            "{:?}",
            sorted("0$7", 11)
        );
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

    /// P3
    #[test]
    fn word_has_a_core_for_each_number_of_characters_around() {
        let found: Vec<_> = cores("1ab34").into_iter().collect();
        assert_eq!(found, ["1ab", "1ab3", "1ab34", "ab", "ab3", "ab34"]);
        assert!(cores("!@#$%^&*word12345678").contains("word"));
        assert!(!cores("4719302word").contains("word"));
        assert_eq!(cores("47193028").len(), 1);
        let found: Vec<_> = cores("12345678!7").into_iter().collect();
        let expected = [
            "12345678",
            "12345678!",
            "12345678!7",
            "2345678!",
            "2345678!7",
            "345678!7",
        ];
        assert_eq!(found, expected);
        for long in ["1a".repeat(64), "1".repeat(127) + "a", "a".repeat(128)] {
            assert!(cores(&long).len() < 64, "{long}");
        }
    }
}
