//! Invisible characters.

use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};

/// Returns whether a character is normally invisible: joiners, fillers, variation selectors, tags, directional marks, controls
/// of notation (Unicode property `Default_Ignorable_Code_Point`).
#[must_use]
pub fn is_default_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Returns whether a letter or symbol has an empty glyph that no Unicode property declares: blank Braille pattern, null notehead,
/// blank hieroglyphs.
#[must_use]
pub fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}')
}
