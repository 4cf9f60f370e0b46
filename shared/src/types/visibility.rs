//! Which characters nobody can see.

use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};

/// Whether a character is invisible unless a program shows it on purpose: joiners, fillers, variation selectors, tags,
/// directional marks, controls of notation (Unicode property `Default_Ignorable_Code_Point`).
#[must_use]
pub fn is_default_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether a character is a letter or symbol whose glyph is empty, although no property says so: blank Braille pattern, null
/// notehead, blank hieroglyphs.
#[must_use]
pub fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}')
}
