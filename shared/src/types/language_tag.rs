//! Language tags (BCP 47).

use std::{fmt, str::FromStr};

use icu_locale_core::Locale;
use sea_orm::DeriveValueType;

use crate::types::validation_error::Invalid;

/// The maximum length of a tag, in bytes: the shortest that every program has to store (RFC 5646, 4.4.1).
const MAX_BYTES: usize = 35;

/// A language such as `en`, `ar-EG` or `zh-Hant-TW`, in the usual case of its subtags (RFC 5646, 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, DeriveValueType)]
#[sea_orm(value_type = "String", from_str = "LanguageTag::stored")]
pub struct LanguageTag(String);

impl LanguageTag {
    /// Reads a tag from a row. It stays readable when the rules change.
    #[expect(clippy::unnecessary_wraps, reason = "the macro wants a Result")]
    fn stored(text: &str) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }

    /// Returns the tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the tag itself and then its prefixes, the longest first (RFC 4647, 3.4): `ar-EG`, `ar`.
    pub fn lookup(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |tag| {
            let (mut shorter, _) = tag.rsplit_once('-')?;
            // A single letter introduces what follows it, and is removed together with it.
            while let Some((prefix, last)) = shorter.rsplit_once('-')
                && last.len() == 1
            {
                shorter = prefix;
            }
            Some(shorter)
        })
    }
}

impl FromStr for LanguageTag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "invalid",
                "A language tag such as en, ar-EG or zh-Hant, of at most 35 characters.",
            )
        };
        if text.len() > MAX_BYTES {
            return Err(invalid());
        }
        let locale = Locale::try_from_str(text).map_err(|_| invalid())?;
        // `und` names no language.
        if locale.id.language.is_unknown() {
            return Err(invalid());
        }
        Ok(Self(locale.to_string()))
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_normalized_and_others_refused() {
        for (text, tag) in [
            ("en", Some("en")),
            ("AR-eg", Some("ar-EG")),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("de-1996", Some("de-1996")),
            ("ar-EG-u-nu-latn", Some("ar-EG-u-nu-latn")),
            ("", None),
            ("*", None),
            ("und", None),
            ("english", None),
            ("e", None),
            ("en-", None),
            ("en us", None),
            ("../en", None),
            ("عربي", None),
            ("en-u-ca-gregory-x-abcdefgh-abcdefgh-abcdefgh", None),
        ] {
            let parsed = text.parse::<LanguageTag>().ok();
            assert_eq!(parsed.as_ref().map(LanguageTag::as_str), tag, "{text}");
        }
    }

    #[test]
    fn lookup_shortens_the_tag_from_its_end() {
        for (tag, expected) in [
            ("ar", &["ar"][..]),
            ("zh-Hant-TW", &["zh-Hant-TW", "zh-Hant", "zh"]),
            ("ar-u-nu-latn", &["ar-u-nu-latn", "ar-u-nu", "ar"]),
        ] {
            let tag: LanguageTag = tag.parse().unwrap();
            assert_eq!(tag.lookup().collect::<Vec<_>>(), expected);
        }
    }
}
