//! Swagger UI: the page that `poem-openapi` renders, adapted to phones and dark mode.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::digest;

/// The options of Swagger UI: operations are listed, schemas are collapsed, and an authorization survives a reload.
const OPTIONS: &str = "deepLinking: true, docExpansion: 'list', defaultModelsExpandDepth: 0, persistAuthorization: true,";

/// Adds the document type, the page's language, title, viewport, dark colours and options.
pub(super) fn adapt(page: &str) -> String {
    let page = page
        .replace("<html charset=\"UTF-8\">", "<html lang=\"en\">")
        .replace("<title>Swagger UI</title>", PAGE_HEAD)
        .replace("deepLinking: true,", OPTIONS);
    // Without a document type browsers use quirks mode, in which tables inherit no colour.
    format!("<!DOCTYPE html>{}", page.trim_start())
}

/// The head of the page. It adds a title, a viewport and a dark colour scheme.
const PAGE_HEAD: &str = r#"<title>Latchkey API</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="data:,">
    <style>
        body { margin: 0 }
        html .swagger-ui .information-container.wrapper { padding-top: 0 }
        html .swagger-ui .info { margin: 24px 0 16px }
        html .swagger-ui .scheme-container { padding: 8px 0 16px; margin-bottom: 8px }
        /* There is only one: the server of this page. */
        html .swagger-ui .schemes-server-container { visibility: hidden }
        @media (prefers-color-scheme: dark) {
            html { background: #14161a }
            .swagger-ui { filter: invert(0.9) hue-rotate(180deg); color-scheme: light; color: #3b4151 }
            .swagger-ui .highlight-code, .swagger-ui .curl-command .curl { filter: invert(1) hue-rotate(180deg) }
            html .swagger-ui .scheme-container { background: none; box-shadow: none }
            html .swagger-ui .opblock .opblock-summary-method { color: #000; text-shadow: none }
            html .swagger-ui .btn.authorize { color: #14532d; border-color: #14532d }
            html .swagger-ui .btn.authorize svg { fill: #14532d }
        }
        @media (max-width: 600px) {
            .swagger-ui .opblock .opblock-summary-description { display: none }
            .swagger-ui .wrapper { padding: 0 10px }
            .swagger-ui .response-col_links { display: none }
        }
    </style>"#;

/// Returns the page's Content-Security-Policy: it may run its embedded scripts, which the policy names by their hashes (CSP Level 3,
/// 2.3.1), and call this server. Swagger UI sets style attributes.
pub(super) fn policy(page: &str) -> String {
    let hashes: Vec<_> = scripts(page)
        .map(|script| {
            let digest = digest::digest(&digest::SHA256, script.as_bytes());
            format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
        })
        .collect();
    let hashes = hashes.join(" ");
    format!(
        "default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; font-src data:; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    )
}

/// Returns the contents of the script elements, as a browser delimits them.
fn scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("</script>").filter_map(|part| {
        let (_, element) = part.split_once("<script")?;
        element.split_once('>').map(|(_, content)| content)
    })
}
