//! Usernames.

use std::{fmt, str::FromStr};

use phonenumber::country;
use sea_orm::DeriveValueType;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::types::{
    validation_error::{Invalid, no_control_characters},
    visibility,
};

/// The maximum length of a username, in characters.
const MAX_CHARACTERS: usize = 45;

/// A name of 1 to 45 characters in any script. Not unique.
///
/// A username has at least one visible character, and none that only hides or reorders text. The parts of emoji sequences and
/// scripts are allowed: joiners, variation selectors, the tags of a flag, directional marks.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String", from_str = "Username::stored")]
pub struct Username(String);

impl Username {
    /// Reads a username from a row. It stays readable when the rules change.
    #[expect(clippy::unnecessary_wraps, reason = "the macro wants a Result")]
    fn stored(text: &str) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }

    /// Returns the username.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_name(text, MAX_CHARACTERS)?;
        Ok(Self(text.to_owned()))
    }
}

/// Checks a name of 1 to `max` characters by the rules of a username.
pub(crate) fn check_name(text: &str, max: usize) -> Result<(), Invalid> {
    let too_long = || Invalid::new("too_long", format!("At most {max} characters."));
    // A character has at most four bytes.
    if text.len() > 4 * max {
        return Err(too_long());
    }
    no_control_characters(text)?;
    match text.chars().count() {
        0 => return Err(Invalid::new("blank", "May not be blank.")),
        count if count > max => return Err(too_long()),
        _ => {}
    }
    if text.contains(is_invisible) || has_stray_tag(text) {
        return Err(Invalid::new(
            "character",
            "Contains an invisible character, or one that changes the direction of text.",
        ));
    }
    if !text.contains(is_seen) {
        return Err(Invalid::new(
            "character",
            "Contains nothing that can be seen.",
        ));
    }
    Ok(())
}

/// Returns whether no script and no emoji needs a character: default-ignorable characters other than joiners, directional marks,
/// variation selectors, tags (see [`has_stray_tag`]), soft hyphens and those of Hangul, Khmer and Mongolian; annotations; and
/// private and unassigned code points.
fn is_invisible(c: char) -> bool {
    let is_needed = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200c}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}'
    );
    // Each font shows another glyph for a private character, or none, as for a code point that is not assigned yet.
    let is_undefined = matches!(
        c.general_category(),
        GeneralCategory::PrivateUse | GeneralCategory::Unassigned
    );
    (visibility::is_default_ignorable(c) || is_undefined) && !is_needed
        || matches!(c, '\u{fff9}'..='\u{fffb}')
}

/// Returns whether a text has tag characters outside of a flag. Tags are invisible, so they could hide text.
fn has_stray_tag(text: &str) -> bool {
    /// The distance of a tag character from its ASCII character.
    const TAGS: u32 = 0xe_0000;
    let ascii = |c: char| {
        let ascii = u32::from(c).checked_sub(TAGS).and_then(char::from_u32);
        ascii.filter(|c| matches!(c, ' '..='\x7f'))
    };
    let is_tag = |c: char| ascii(c).is_some();
    let mut parts = text.split('\u{1f3f4}');
    let before_flags = parts.next().unwrap_or_default();
    before_flags.contains(is_tag)
        || parts.any(|part| {
            let tags: String = part.chars().map_while(ascii).collect();
            let mut rest = part.chars().skip_while(|c| is_tag(*c));
            !(tags.is_empty() || is_region_flag(&tags)) || rest.any(is_tag)
        })
}

/// Returns whether the tags of a black flag make it the flag of a region, such as `gbeng` for England or `usca` for California:
/// a country, its subdivision and an end (Unicode Technical Standard 51, ED-14a and annex C). Subdivisions are not looked up.
fn is_region_flag(tags: &str) -> bool {
    let Some((country, subdivision)) = tags
        .strip_suffix('\x7f')
        .and_then(|region| region.split_at_checked(2))
    else {
        return false;
    };
    let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=3).contains(&subdivision.len())
        && subdivision.chars().all(is_code)
        && !country.contains(|c: char| c.is_ascii_uppercase())
        && country.to_uppercase().parse::<country::Id>().is_ok()
}

/// Returns whether a character is visible without its neighbours. Joiners, marks, variation selectors, fillers, blanks and
/// unassigned code points are not.
fn is_seen(c: char) -> bool {
    // A mark is visible on a letter only, and an unassigned code point has no glyph.
    let is_format = matches!(
        c.general_category(),
        GeneralCategory::Format
            | GeneralCategory::Unassigned
            | GeneralCategory::PrivateUse
            | GeneralCategory::NonspacingMark
            | GeneralCategory::EnclosingMark
            | GeneralCategory::SpacingMark
    );
    let is_filler = visibility::is_default_ignorable(c) || c == '\u{fffc}';
    !(c.is_whitespace() || visibility::is_blank(c) || is_format || is_filler)
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn username_in_any_script_and_with_emoji_is_accepted() {
        for good in [
            "Ada Lovelace",
            "\u{645}\u{62d}\u{645}\u{62f} \u{639}\u{644}\u{64a}",
            // Persian with ZWNJ, Sinhala with ZWJ, Hebrew with a right-to-left mark.
            "\u{645}\u{6cc}\u{200c}\u{631}\u{648}\u{62f}",
            "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{200f}!",
            "\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}",
            "\u{6f22}\u{5b57}\u{e0100} \u{1f980}",
            // Family, rainbow flag, flag of Scotland, keycap, skin tone.
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            // Flag of California.
            "\u{1f3f4}\u{e0075}\u{e0073}\u{e0063}\u{e0061}\u{e007f}",
            "1\u{fe0f}\u{20e3} \u{1f44d}\u{1f3fd}",
            "c\u{435}o",
            // Old Hangul with a filler, a name with a soft hyphen, a blank Braille pattern after letters.
            "\u{115f}\u{1161}\u{11a8} \u{1100}\u{1161}",
            "Ada\u{ad}line \u{2800}",
        ] {
            assert_eq!(good.parse::<Username>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn invisible_or_reordering_username_is_refused() {
        for (bad, code) in [
            ("Ada\u{200b}", "character"),
            ("\u{3164}", "character"),
            ("A\u{3164}da", "character"),
            ("\u{202e}adA", "character"),
            ("Ada \u{202a}x\u{202c}", "character"),
            ("\u{2066}Ada\u{2069}", "character"),
            ("Ada\u{e0041}\u{e0042}", "character"),
            ("\u{200d}\u{200d}", "character"),
            ("\u{2065}", "character"),
            ("\u{fff0}", "character"),
            ("\u{fffc}", "character"),
            ("\u{ffff}", "character"),
            ("\u{301}", "character"),
            ("Ada\u{e000}", "character"),
            ("Ada \u{f8ff}", "character"),
            ("Ada\u{100000}", "character"),
            ("Ada\u{378}", "character"),
            // A country that does not exist, a sequence that is too long, and one without its end.
            (
                "\u{1f3f4}\u{e007a}\u{e007a}\u{e0063}\u{e0061}\u{e007f}",
                "character",
            ),
            (
                "\u{1f3f4}\u{e0075}\u{e0073}\u{e0063}\u{e0061}\u{e0063}\u{e0061}\u{e007f}",
                "character",
            ),
            ("\u{1f3f4}\u{e0075}\u{e0073}\u{e0063}\u{e0061}", "character"),
            ("Ada\u{1f3f4}\u{e0041}", "character"),
            ("\u{1f3f4}\u{e0068}\u{e0069}\u{e007f}", "character"),
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}\u{e0041}",
                "character",
            ),
            ("\u{1f3f4}\u{e0067}\u{e007f}\u{e0041}", "character"),
            ("\u{fe0f}", "character"),
            ("\u{a0}\u{2003}", "character"),
            ("\u{2800}\u{115f}", "character"),
            ("\u{1d159}", "character"),
            ("\u{13441}\u{13442}", "character"),
            ("\u{1160}", "character"),
            ("\u{ffa0}", "character"),
            ("\u{180f}\u{17b4}\u{34f}", "character"),
            ("Ada\u{1d173}", "character"),
            ("Ada\u{1bca0}", "character"),
            ("Ada\u{e01f0}", "character"),
            ("\u{ad}\u{200e}", "character"),
            ("Ada\u{2028}x", "control_characters"),
            ("Ada\u{85}x", "control_characters"),
            ("", "blank"),
            (&"\u{1f980}".repeat(46), "too_long"),
        ] {
            assert_eq!(bad.parse::<Username>().unwrap_err().code, code, "{bad:?}");
        }
    }
}
