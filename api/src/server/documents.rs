//! Swagger UI and the OpenAPI document: texts that are the same for every client.

use std::{io::Write as _, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Endpoint, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{HeaderMap, StatusCode, header},
};
use ring::digest;

use crate::{
    http::caching,
    openapi::{Description, Installation},
    server::calls::description,
};

/// A text with its headers.
struct Text {
    media_type: &'static str,
    content: String,
    /// The Content-Security-Policy, if the text needs another than the default.
    policy: Option<String>,
}

/// Adds the routes of Swagger UI and of the document in both forms.
pub(super) fn add_to(routes: Route, installation: &Installation) -> Route {
    let documented = |make: fn(&Description, &Installation) -> Text| {
        let installation = installation.clone();
        get(document(move || make(&description(), &installation)))
    };
    routes
        .at("/docs", documented(swagger_ui))
        .at(
            "/docs/swagger-ui.js",
            documented(|description, _| Text {
                media_type: "text/javascript; charset=utf-8",
                content: description.swagger_ui_script().to_owned(),
                policy: None,
            }),
        )
        .at(
            "/openapi.json",
            documented(|description, installation| Text {
                media_type: "application/json",
                content: description.json(installation),
                policy: None,
            }),
        )
        .at(
            "/openapi.yaml",
            documented(|description, installation| Text {
                media_type: "application/yaml",
                content: description.yaml(installation),
                policy: None,
            }),
        )
}

fn swagger_ui(description: &Description, installation: &Installation) -> Text {
    let (page, policy) = description.swagger_ui(installation);
    Text {
        media_type: "text/html; charset=utf-8",
        content: page,
        policy: Some(policy),
    }
}

/// A text as it is sent. All responses share its memory.
struct Document {
    media_type: &'static str,
    policy: Option<String>,
    plain: Bytes,
    gzip: Bytes,
    /// A strong entity tag of the content, without quotation marks. The compressed form has another one (RFC 9110, 8.8.3.3).
    tag: String,
}

/// Returns an endpoint for a text that is built at its first request. Browsers keep it, and ask at each use whether it has changed.
fn document(make: impl FnOnce() -> Text + Send + 'static) -> impl Endpoint<Output = Response> {
    let document = LazyLock::new(|| Document::new(make()));
    make_sync(move |request: Request| document.respond(request.headers()))
}

impl Document {
    fn new(text: Text) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = encoder
            .write_all(text.content.as_bytes())
            .and_then(|()| encoder.finish())
            .expect("writing to memory does not fail");
        let digest = digest::digest(&digest::SHA256, text.content.as_bytes());
        Self {
            media_type: text.media_type,
            policy: text.policy,
            gzip: gzip.into(),
            tag: BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]),
            plain: text.content.into(),
        }
    }

    fn respond(&self, headers: &HeaderMap) -> Response {
        let is_gzip = caching::accepts_gzip(headers);
        let tag = format!("\"{}{}\"", self.tag, if is_gzip { "-gzip" } else { "" });
        let mut response = Response::builder()
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::VARY, "Accept-Encoding")
            .header(header::ETAG, &tag);
        if let Some(policy) = &self.policy {
            response = response.header(header::CONTENT_SECURITY_POLICY, policy);
        }
        if caching::is_known(headers, &tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(self.media_type);
        if is_gzip {
            response
                .header(header::CONTENT_ENCODING, "gzip")
                .body(Bytes::clone(&self.gzip))
        } else {
            response.body(Bytes::clone(&self.plain))
        }
    }
}
