//! Swagger UI: the bundle of `poem-openapi` in a page of its own, which is readable before the bundle has run, on phones and in dark
//! mode.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::digest;
use serde_json::Value;

/// Swagger UI's style sheet and script.
pub(super) struct Bundle<'a> {
    style: &'a str,
    /// The script.
    pub(super) script: &'a str,
}

impl<'a> Bundle<'a> {
    /// Finds the bundle in the page that `poem-openapi` renders.
    pub(super) fn find_in(page: &'a str) -> Option<Self> {
        let (_, page) = page.split_once("<style charset=\"UTF-8\">")?;
        let (style, page) = page.split_once("</style>")?;
        let (_, page) = page.split_once("<script charset=\"UTF-8\">")?;
        let (script, _) = page.split_once("</script>")?;
        Some(Self { style, script })
    }

    /// Returns the page and its Content-Security-Policy. `base` is the path of `PUBLIC_URL`.
    pub(super) fn page(&self, document: &Value, base: &str) -> (String, String) {
        // A `<` in the document could end the page's script element.
        let json = document.to_string().replace('<', "\\u003c");
        let script = include_str!("page.js").replace("{document}", &json);
        let description = document["info"]["description"].as_str().unwrap_or_default();
        let page = include_str!("page.html")
            .replace("{base}", base)
            .replace("{description}", &paragraphs(description))
            .replace("{style}", include_str!("page.css"))
            .replace("{bundle_style}", self.style)
            .replace("{script}", &script);
        (page, policy(&script))
    }
}

/// Returns the paragraphs of a Markdown text as HTML. Of Markdown's inline elements, it knows code.
fn paragraphs(markdown: &str) -> String {
    let escaped = markdown.replace('&', "&amp;").replace('<', "&lt;");
    let paragraphs = escaped.split("\n\n").map(|paragraph| {
        let parts = paragraph.split('`').enumerate().map(|(number, part)| {
            if number % 2 == 1 {
                format!("<code>{part}</code>")
            } else {
                part.to_owned()
            }
        });
        format!("<p>{}</p>", parts.collect::<String>())
    });
    paragraphs.collect()
}

/// Returns the page's Content-Security-Policy. It may run the bundle and its own script, which the policy names by its hash (CSP Level
/// 3, 2.3.1), and call this server. Swagger UI sets style attributes.
fn policy(script: &str) -> String {
    let digest = digest::digest(&digest::SHA256, script.as_bytes());
    let hash = BASE64_STANDARD.encode(digest);
    format!(
        "default-src 'none'; script-src 'self' 'sha256-{hash}'; style-src 'unsafe-inline'; img-src data:; font-src data:; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
}
