//! Static assets, embedded into the binary: Pico CSS, htmx, and the dashboard's own CSS and JavaScript.

use poem::{
    Response, handler,
    http::header,
    web::{Path, Query},
};
use serde::Deserialize;

use crate::http::error::ApiError;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    hash: u32,
}

const fn asset(name: &'static str, media_type: &'static str, text: &'static str) -> Asset {
    Asset {
        name,
        media_type,
        text,
        hash: hash(text.as_bytes()),
    }
}

/// The compiler computes the hashes.
static ASSETS: [Asset; 4] = [
    asset(
        "pico.css",
        "text/css; charset=utf-8",
        include_str!("../../../assets/pico.min.css"),
    ),
    asset(
        "admin.css",
        "text/css; charset=utf-8",
        include_str!("../../../assets/admin.css"),
    ),
    asset(
        "htmx.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../assets/htmx.min.js"),
    ),
    asset(
        "admin.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../assets/admin.js"),
    ),
];

/// Computes FNV-1a, which distinguishes versions and can run at compile time.
const fn hash(bytes: &[u8]) -> u32 {
    let (mut hash, mut i) = (0x811c_9dc5_u32, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// Returns the URL path of an asset, with the hash of its content.
#[must_use]
pub fn path(name: &str) -> String {
    let hash = ASSETS
        .iter()
        .find(|file| file.name == name)
        .map_or(0, |file| file.hash);
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
pub fn serve(Path(name): Path<String>, Query(query): Query<AssetQuery>) -> poem::Result<Response> {
    let file = ASSETS
        .iter()
        .find(|file| file.name == name)
        .ok_or(ApiError::NotFound)?;
    let cache_control = if query.v == format!("{:08x}", file.hash) {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    Ok(Response::builder()
        .content_type(file.media_type)
        .header(header::CACHE_CONTROL, cache_control)
        .body(file.text))
}
