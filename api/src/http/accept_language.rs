//! The language that a client prefers.

use latchkey_shared::{outbox::template::MailTemplates, types::language_tag::LanguageTag};
use poem::{FromRequest, Request, RequestBody, http::header};

use crate::app_state::App;

/// The language that a client prefers by `Accept-Language` (RFC 9110, 12.5.4): the first one that has templates of mails, or else the
/// first one. `None` if the header names no language.
pub struct PreferredLanguage(pub Option<LanguageTag>);

impl<'a> FromRequest<'a> for PreferredLanguage {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let templates = &App::of(request)?.config.common.mail_templates;
        let header = request.header(header::ACCEPT_LANGUAGE).unwrap_or_default();
        Ok(Self(preferred(header, templates)))
    }
}

fn preferred(header: &str, templates: &MailTemplates) -> Option<LanguageTag> {
    let entries = header.split(',').filter(|entry| has_plain_weight(entry));
    let entries: Vec<_> = entries.collect();
    let tags: Vec<LanguageTag> = accept_language::parse_with_quality(&entries.join(","))
        .into_iter()
        .filter(|(_, weight)| *weight > 0.0)
        .filter_map(|(tag, _)| tag.parse().ok())
        .collect();
    let known = tags.iter().find(|tag| templates.has(tag));
    known.or(tags.first()).cloned()
}

/// Returns whether the weight of an entry, if any, has the form of RFC 9110, 12.4.2. The parser would read `NaN`, too, by which nothing
/// can be sorted.
fn has_plain_weight(entry: &str) -> bool {
    entry.split_once('=').is_none_or(|(_, weight)| {
        let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        weight.trim().bytes().all(is_plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_language_has_templates_if_possible() {
        let templates = MailTemplates::load(None).unwrap();
        for (header, expected) in [
            ("ar-EG, ar;q=0.9, en;q=0.8", Some("ar-EG")),
            ("en-GB,en;q=0.5", Some("en-GB")),
            ("en;q=0.4, ar;q=0.7", Some("ar")),
            ("de-DE, de;q=0.9, ar;q=0.2", Some("ar")),
            ("de-DE, fr;q=0.9", Some("de-DE")),
            ("ar;q=0, en;q=0.1", Some("en")),
            ("*", None),
            ("", None),
            ("*;q=0.5, fr;q=0.1", Some("fr")),
            ("ar;q=NaN, en;q=0.1", Some("en")),
            ("not a language, ../../etc", None),
        ] {
            let preferred = preferred(header, &templates);
            assert_eq!(
                preferred.as_ref().map(LanguageTag::as_str),
                expected,
                "{header}"
            );
        }
        let hostile = "a;q=NaN,ar;q=0.1,en;q=-nan,".repeat(500);
        assert!(super::preferred(&hostile, &templates).is_some());
    }
}
