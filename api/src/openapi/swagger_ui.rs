//! Swagger UI: the page that `poem-openapi` renders, adapted to phones and dark mode.

/// Adds the document type, the page's language, title, viewport and dark colours.
pub(super) fn adapt(page: &str) -> String {
    let page = page
        .replace("<html charset=\"UTF-8\">", "<html lang=\"en\">")
        .replace("<title>Swagger UI</title>", PAGE_HEAD);
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

/// The page's Content-Security-Policy: it may run its embedded scripts and call this server.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                               font-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";
