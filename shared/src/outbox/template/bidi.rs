//! Values within text of another direction.

use std::borrow::Cow;

use minijinja::{HtmlEscape, Value};

/// The direction of a language's script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Left to right.
    Ltr,
    /// Right to left.
    Rtl,
}

/// Returns a value for the text part and the subject, in Unicode isolates (UAX #9, 2.4.2) where it could otherwise reorder the
/// text around it. ASCII does not reorder text from left to right.
pub(super) fn isolate(value: &str, around: Direction) -> Cow<'_, str> {
    if around == Direction::Ltr && value.is_ascii() {
        return value.into();
    }
    format!("\u{2068}{value}\u{2069}").into()
}

/// Returns a value for the HTML part, escaped and in a `bdi` element.
pub(super) fn bdi(value: &str) -> Value {
    Value::from_safe_string(format!("<bdi>{}</bdi>", HtmlEscape(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_isolated_where_it_could_reorder_text() {
        for (value, around, expected) in [
            ("Latchkey (beta)", Direction::Ltr, "Latchkey (beta)"),
            ("Latchkey", Direction::Rtl, "\u{2068}Latchkey\u{2069}"),
            ("مفتاح", Direction::Ltr, "\u{2068}مفتاح\u{2069}"),
            ("مفتاح", Direction::Rtl, "\u{2068}مفتاح\u{2069}"),
        ] {
            assert_eq!(isolate(value, around), expected);
        }
    }

    #[test]
    fn html_value_is_escaped_and_isolated() {
        let value = bdi("<b> & \"Co\"");
        assert_eq!(
            value.as_str(),
            Some("<bdi>&lt;b&gt; &amp; &quot;Co&quot;</bdi>")
        );
    }
}
