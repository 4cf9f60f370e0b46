//! Variations of a word that users write: digits and signs around it, separators in it, substitutes of letters, repetition, reversal.

use std::collections::BTreeSet;

use crate::passwords::sequences::is_sequence;

/// Maximum number of characters around a word that are ignored.
const MAX_AROUND: usize = 6;

/// Maximum length of a word with ignored characters around it, in characters. Bounds the time of a check.
const MAX_WORD: usize = 40;

/// Characters that replace letters. Those of [`AMBIGUOUS`] replace one of two.
const SUBSTITUTES: [(char, char); 17] = [
    ('@', 'a'),
    ('4', 'a'),
    ('8', 'b'),
    ('(', 'c'),
    ('[', 'c'),
    ('{', 'c'),
    ('<', 'c'),
    ('3', 'e'),
    ('€', 'e'),
    ('6', 'g'),
    ('9', 'g'),
    ('0', 'o'),
    ('$', 's'),
    ('5', 's'),
    ('+', 't'),
    ('%', 'x'),
    ('2', 'z'),
];

/// Characters that replace one of two letters. Each is read as both, independently of the others: `m!che11e` has an i and two l.
const AMBIGUOUS: [(char, [char; 2]); 4] = [
    ('1', ['i', 'l']),
    ('!', ['i', 'l']),
    ('|', ['i', 'l']),
    ('7', ['t', 'l']),
];

/// Minimum length of a number with ignored characters around it.
const MIN_NUMBER: usize = 8;

/// Returns the letters and digits of a text.
pub(super) fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Returns the letters of a text.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

/// Returns the characters between which a text repeats a separator, such as `password` for `p-a-s-s-w-o-r-d`.
pub(super) fn unspaced(text: &str) -> Option<String> {
    let separator = text.chars().nth(1).filter(|c| !c.is_alphanumeric())?;
    let mut separators = text.chars().skip(1).step_by(2);
    separators
        .all(|c| c == separator)
        .then(|| text.chars().step_by(2).collect())
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

/// Returns the text with and without digits and signs around it: at most [`MAX_AROUND`] characters, or any number that form a
/// sequence. The innermost of them may replace letters of the word, so each number of them is tried.
pub(super) fn cores(text: &str) -> BTreeSet<&str> {
    let mut cores = BTreeSet::from([text]);
    let inner = text.trim_matches(|c: char| !c.is_alphabetic());
    if inner.is_empty() {
        cores.extend(numbers(text));
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
            if before_weight + after_weight <= MAX_AROUND && core.chars().count() <= MAX_WORD {
                cores.insert(core);
            }
        }
    }
    cores
}

/// Returns the numbers in a text without letters: its parts of digits that lack up to [`MAX_AROUND`] characters at its ends.
fn numbers(text: &str) -> Vec<&str> {
    let places: Vec<usize> = boundaries(text).collect();
    let length = places.len() - 1;
    let removed = (0..=MAX_AROUND)
        .flat_map(|before| (0..=MAX_AROUND - before).map(move |after| (before, after)));
    removed
        .filter(|(before, after)| {
            length
                .checked_sub(before + after)
                .is_some_and(|rest| (MIN_NUMBER..=MAX_WORD).contains(&rest))
        })
        .map(|(before, after)| &text[places[before]..places[length - after]])
        .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
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

/// Returns a word unchanged and with substitutes replaced by letters, each forwards and backwards.
pub(super) fn spellings(word: &str) -> BTreeSet<String> {
    let mut spellings = BTreeSet::from([word.to_owned()]);
    let present = AMBIGUOUS.map(|(sign, _)| word.contains(sign));
    for choice in 0_usize..1 << AMBIGUOUS.len() {
        let is_chosen = |index: usize| choice >> index & 1 == 1;
        // A choice for a sign that the word lacks gives the same spelling again.
        if (0..AMBIGUOUS.len()).all(|index| present[index] || !is_chosen(index)) {
            spellings.insert(word.chars().map(|c| with_letter(c, choice)).collect());
        }
    }
    let backwards: Vec<_> = spellings.iter().map(|word| reversed(word)).collect();
    spellings.extend(backwards);
    spellings
}

/// Returns the letter that a character replaces. Bit `n` of `choice` selects the letter of the ambiguous character `n`.
fn with_letter(c: char, choice: usize) -> char {
    if let Some(index) = AMBIGUOUS.iter().position(|(sign, _)| *sign == c) {
        return AMBIGUOUS[index].1[choice >> index & 1];
    }
    SUBSTITUTES
        .iter()
        .find(|(sign, _)| *sign == c)
        .map_or(c, |(_, letter)| *letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspaced_texts_had_one_separator_between_characters() {
        for (text, expected) in [
            ("p-a-s-s", Some("pass")),
            ("p @ s s ", Some("p@ss")),
            ("p-a-s.s", None),
            ("p-a-ss", None),
            ("pass", None),
            ("p", None),
        ] {
            assert_eq!(unspaced(text).as_deref(), expected, "{text}");
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

    /// P3
    #[test]
    fn word_has_a_core_for_each_number_of_characters_around() {
        let found: Vec<_> = cores("1ab34").into_iter().collect();
        assert_eq!(found, ["1ab", "1ab3", "1ab34", "ab", "ab3", "ab34"]);
        assert!(cores("!@#$%^&*word12345678").contains("word"));
        assert!(!cores("4719302word").contains("word"));
        assert_eq!(cores("47193028").len(), 1);
        let found: Vec<_> = cores("12345678!7").into_iter().collect();
        assert_eq!(found, ["12345678", "12345678!7"]);
        for long in ["1a".repeat(64), "1".repeat(127) + "a", "a".repeat(128)] {
            assert!(cores(&long).len() < 64, "{long}");
        }
    }
}
