//! Static assets, embedded into the binary as they are and compressed: Tabler, its icons, htmx, and the dashboard's own files.

use std::sync::LazyLock;

use poem::{
    Request, Response, handler,
    http::header,
    web::{Data, Path, Query},
};
use serde::Deserialize;

use crate::{
    app_state::App,
    http::{caching, error::ApiError},
};

/// The Content-Security-Policy of the logo: an SVG that is opened as a page runs no script and loads nothing.
const LOGO_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

struct Asset {
    name: &'static str,
    media_type: &'static str,
    /// Distinguishes versions.
    hash: u32,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// An asset, which `build.rs` has compressed.
macro_rules! asset {
    ($name:literal, $media_type:expr) => {{
        let plain = include_bytes!(concat!("../../../assets/", $name));
        Asset {
            name: $name,
            media_type: $media_type,
            hash: hash(plain),
            plain,
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
        }
    }};
}

pub(super) const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

static ASSETS: LazyLock<[Asset; 6]> = LazyLock::new(|| {
    [
        asset!("tabler.min.css", CSS),
        asset!("tabler.rtl.min.css", CSS),
        asset!("admin.css", CSS),
        asset!("htmx.min.js", JAVASCRIPT),
        asset!("admin.js", JAVASCRIPT),
        asset!("icons.svg", SVG),
    ]
});

/// Computes FNV-1a, which distinguishes versions.
pub(super) fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Returns the URL path of an asset, with the hash of its content.
#[must_use]
pub fn path(name: &str) -> String {
    let hash = ASSETS
        .iter()
        .find(|file| file.name == name)
        .map_or(0, |file| file.hash);
    versioned_path(name, hash)
}

/// Returns the URL path of this version of an asset.
pub(super) fn versioned_path(name: &str, hash: u32) -> String {
    format!("/admin/assets/{name}?v={hash:08x}")
}

#[derive(Deserialize)]
struct AssetQuery {
    #[serde(default)]
    v: String,
}

/// Serves an asset. Browsers cache it for a year if the requested hash is current. During a rolling update a page can request
/// another version than this server has, which must not be cached.
#[handler]
pub fn serve(
    Data(app): Data<&App>,
    request: &Request,
    Path(name): Path<String>,
    Query(query): Query<AssetQuery>,
) -> poem::Result<Response> {
    let response = |media_type: &str, hash: u32| {
        let cache_control = if query.v == format!("{hash:08x}") {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        Response::builder()
            .content_type(media_type)
            .header(header::CACHE_CONTROL, cache_control)
    };
    if let Some(file) = app.branding.find(&name) {
        return Ok(response(file.media_type, file.hash)
            .header(header::CONTENT_SECURITY_POLICY, LOGO_POLICY)
            .body(file.content.clone()));
    }
    let file = ASSETS.iter().find(|file| file.name == name);
    let file = file.ok_or(ApiError::NotFound)?;
    let response = response(file.media_type, file.hash).header(header::VARY, "Accept-Encoding");
    Ok(if caching::accepts_gzip(request.headers()) {
        response
            .header(header::CONTENT_ENCODING, "gzip")
            .body(file.gzip)
    } else {
        response.body(file.plain)
    })
}
