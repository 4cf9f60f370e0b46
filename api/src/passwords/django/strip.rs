//! Python's `str.strip`, which Django REST framework applies to passwords before Django hashes them.

/// Returns the text without the characters at both ends that Python's `str.strip()` removes: Unicode's `White_Space`, and the
/// separators U+001C to U+001F, which Python adds.
#[must_use]
pub fn python_strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The characters for which Python 3.11 returns true for `str.isspace()`, which `strip` uses.
    const PYTHON_SPACES: &str = "\t\n\u{b}\u{c}\r\u{1c}\u{1d}\u{1e}\u{1f} \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\
        \u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";

    #[test]
    fn strip_removes_exactly_the_spaces_of_python() {
        for c in '\0'..=char::MAX {
            let text = format!("{c}in side{c}");
            let expected = if PYTHON_SPACES.contains(c) {
                "in side"
            } else {
                text.as_str()
            };
            assert_eq!(python_strip(&text), expected, "{c:?}");
        }
    }
}
