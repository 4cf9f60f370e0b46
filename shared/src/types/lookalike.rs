//! Refuses deceptive characters in emails (Unicode Technical Standard #39).
//!
//! The parts of an email are its local part and each label of its domain. ASCII is always allowed here.

use icu_properties::{CodePointSetData, props::SoftDotted};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};
use unicode_security::{
    GeneralSecurityProfile as _, RestrictionLevel, RestrictionLevelDetection as _,
    mixed_script::AugmentedScriptSet, skeleton,
};

use crate::types::{decimal, validation_error::Invalid};

/// Letters of European languages that UTS #39 lists as confusable, but that readers distinguish from ASCII.
const TOLD_FROM_ASCII: &str = "æÆœŒþ";

/// Chinese and Japanese characters that look like ASCII letters or punctuation: `l - = F o I Z L + C C U n T X X ^ .` They are
/// prototypes of UTS #39, so each stands for its other look-alikes, too. UTS #39 maps more of them to ASCII, such as U+3007 (O).
const CJK_LIKE_ASCII: &str = "丨ー二卜口工乙乚十匚匸凵冂丁メ乂へ·";

/// Returns a text in Unicode Normalization Form C.
///
/// # Errors
/// If this replaces a character by a single other one, as U+212A KELVIN SIGN by `K`: two spellings would become one.
pub(crate) fn compose(text: &str) -> Result<String, Invalid> {
    let is_replaced = |c: char| {
        let mut composed = std::iter::once(c).nfc();
        !c.is_ascii() && composed.next() != Some(c) && composed.next().is_none()
    };
    if text.chars().any(is_replaced) {
        return Err(not_allowed());
    }
    Ok(text.nfc().collect())
}

/// Returns a text in lower case, except for letters that are not the lower or upper case of each other: U+0130 (İ), U+017F (ſ),
/// U+1E9E (ẞ). So folding merges only the two letters of a pair.
pub(crate) fn fold_case(text: &str) -> String {
    let folded = text.chars().map(|c| {
        only(c.to_lowercase())
            .filter(|lower| only(lower.to_uppercase()) == Some(c))
            .unwrap_or(c)
    });
    // Composed again: J with caron composes in lower case only.
    folded.nfc().collect()
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    first.filter(|_| chars.next().is_none())
}

/// Checks the composed parts of an email: the local part, and the domain's labels as U-labels.
///
/// # Errors
/// If a part contains an invisible character or a variant of another one, mixes alphabets, or looks like ASCII without being
/// ASCII.
pub(crate) fn check(local: &str, labels: &[&str]) -> Result<(), Invalid> {
    if local.is_ascii() && labels.iter().all(|label| label.is_ascii()) {
        return Ok(());
    }
    for part in labels.iter().chain([&local]) {
        check_characters(part)?;
        check_scripts(part)?;
    }
    if mixes_latin_with_cjk(local) {
        return Err(look_alike(
            "Mixes Latin letters with Chinese or Japanese characters, many of which look like them.",
        ));
    }
    for part in labels.iter().chain([&local]) {
        if reads_as_ascii(part) && !labels.iter().any(|label| explains(label, part)) {
            return Err(look_alike(
                "Contains letters that look like other letters, such as Cyrillic ones for Latin ones.",
            ));
        }
    }
    Ok(())
}

/// Refuses invisible characters, full-width and other variants, symbols, and marks without a visible effect.
fn check_characters(part: &str) -> Result<(), Invalid> {
    // `identifier_allowed` does not cover the punctuation of addresses.
    let is_refused = |c: char| !c.is_ascii() && (!c.identifier_allowed() || is_refused_sign(c));
    if part.contains(is_refused) {
        return Err(not_allowed());
    }
    let (mut base, mut previous) = ('.', '.');
    for c in part.nfd() {
        if c.general_category_group() == GeneralCategoryGroup::Mark {
            let stands_alone = previous.is_ascii_punctuation();
            let is_hidden = c == '\u{307}' && hides_dot_above(base);
            if stands_alone || is_hidden || previous == c {
                return Err(not_allowed());
            }
        } else {
            base = c;
        }
        previous = c;
    }
    Ok(())
}

/// Returns whether U+0307 COMBINING DOT ABOVE is invisible above a letter, which has a dot of its own (UTS #39, 5.4), or gives the
/// dotless i or j the look of the usual one.
fn hides_dot_above(letter: char) -> bool {
    matches!(letter, '\u{131}' | '\u{237}')
        || CodePointSetData::new::<SoftDotted>().contains(letter)
}

/// Allows one script, or Latin with Chinese, Japanese or Korean (UTS #39, 5.2: highly restrictive), and digits of one system.
fn check_scripts(part: &str) -> Result<(), Invalid> {
    let letters: String = part
        .chars()
        .filter(|c| !c.is_ascii() || c.is_ascii_alphanumeric())
        .collect();
    let mut zeros = letters.chars().filter_map(decimal::zero);
    let first = zeros.next();
    let is_mixed = zeros.any(|zero| Some(zero) != first);
    if is_mixed || !letters.check_restriction_level(RestrictionLevel::HighlyRestrictive) {
        return Err(look_alike(
            "Mixes letters or digits of several alphabets, which look alike.",
        ));
    }
    if mixes_cjk_like_ascii(&letters) {
        return Err(look_alike(
            "Mixes Latin letters with Chinese or Japanese characters that look like them.",
        ));
    }
    Ok(())
}

/// Returns whether a local part has Latin letters and Chinese or Japanese characters. More of those resemble Latin letters than
/// UTS #39 lists, such as `尺` for R. Expects one of the mixtures that [`check_scripts`] allows.
fn mixes_latin_with_cjk(local: &str) -> bool {
    local.contains(is_chinese_or_japanese)
        && local.contains(|c: char| c.is_alphabetic() && !is_cjk(c))
}

/// Returns whether a part has Latin letters or digits and a run of Chinese, Japanese or Korean characters that all look like ASCII,
/// as in `paypa丨`. Next to other such characters (`一郎`) the script is obvious.
fn mixes_cjk_like_ascii(letters: &str) -> bool {
    let mut runs = letters.split(|c| !is_cjk(c)).filter(|run| !run.is_empty());
    !letters.chars().all(is_cjk)
        && runs.any(|run| run.chars().all(is_cjk_like_ascii) && !has_long_vowel(run))
}

/// Returns whether a run has a long vowel of kana, as in `ノート`, so that its mark U+30FC is no dash.
fn has_long_vowel(run: &str) -> bool {
    let is_kana = |c| {
        let scripts = AugmentedScriptSet::for_char(c);
        scripts.jpan && !scripts.hanb && c != 'ー'
    };
    let marks = run.chars().skip(1);
    run.chars()
        .zip(marks)
        .any(|(vowel, mark)| is_kana(vowel) && mark == 'ー')
}

fn is_cjk(c: char) -> bool {
    let scripts = AugmentedScriptSet::for_char(c);
    is_chinese_or_japanese(c) || !scripts.is_all() && scripts.kore
}

fn is_chinese_or_japanese(c: char) -> bool {
    let scripts = AugmentedScriptSet::for_char(c);
    !scripts.is_all() && (scripts.hanb || scripts.jpan)
}

fn is_cjk_like_ascii(c: char) -> bool {
    looks_ascii(c) || skeleton(c.encode_utf8(&mut [0; 4])).all(|c| CJK_LIKE_ASCII.contains(c))
}

/// Returns whether all characters other than ASCII look like ASCII, as in `сео` in Cyrillic.
fn reads_as_ascii(part: &str) -> bool {
    let mut others = part.chars().filter(|c| !c.is_ascii()).peekable();
    others.peek().is_some() && others.all(|c| !TOLD_FROM_ASCII.contains(c) && looks_ascii(c))
}

/// Returns whether a character is no letter or digit, such as U+2027 HYPHENATION POINT, or belongs to all scripts and so mixes with any.
/// `identifier_allowed` includes some signs (UTS #39, 3.1, `Inclusion`). Those that Hebrew and Japanese words contain are allowed.
fn is_refused_sign(c: char) -> bool {
    let is_sign = matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Symbol
    );
    let is_used_in_words = matches!(c, '\u{5f3}' | '\u{5f4}' | '\u{30fb}');
    is_sign && !is_used_in_words || AugmentedScriptSet::for_char(c).is_all() && looks_ascii(c)
}

fn looks_ascii(c: char) -> bool {
    skeleton(c.encode_utf8(&mut [0; 4])).all(|c| c.is_ascii())
}

/// Returns whether a label reveals the script of a part: readers of `оса@почта.рф` do not expect Latin letters.
fn explains(label: &str, part: &str) -> bool {
    let mut shared = AugmentedScriptSet::for_str(label);
    shared.intersect_with(AugmentedScriptSet::for_str(part));
    !label.is_ascii() && !reads_as_ascii(label) && !shared.is_empty()
}

fn look_alike(detail: &str) -> Invalid {
    Invalid::new("look_alike", detail)
}

fn not_allowed() -> Invalid {
    Invalid::new(
        "character",
        "Contains a character that an email must not have: an invisible one, a symbol, or a variant of another.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter that composes in lower case only has one folded form.
    #[test]
    fn fold_case_of_composing_letters_is_stable() {
        assert_eq!(fold_case("J\u{30c}"), "\u{1f0}");
        assert_eq!(fold_case("\u{1f0}"), "\u{1f0}");
    }

    /// M2: no character folds to anything but its other case.
    #[test]
    fn fold_case_merges_only_pairs() {
        let mut seen = std::collections::HashMap::new();
        // Scripts beyond this range have no cases.
        for c in '\0'..='\u{1ffff}' {
            let text = c.to_string();
            if compose(&text).is_ok_and(|composed| composed == text) {
                seen.entry(fold_case(&text))
                    .or_insert_with(Vec::new)
                    .push(c);
            }
        }
        let merged: Vec<_> = seen.values().filter(|chars| chars.len() > 2).collect();
        assert!(merged.is_empty(), "{merged:?}");
    }
}
