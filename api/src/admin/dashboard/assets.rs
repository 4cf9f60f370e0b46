//! The files that the pages load, all of them in the binary: Pico CSS, htmx, and the little that is our own.

use poem::{
    Response, handler,
    http::header,
    web::{Path, Query},
};
use serde::Deserialize;

use crate::http::error::ApiError;

struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    hash: u32,
}

const fn file(name: &'static str, media_type: &'static str, text: &'static str) -> File {
    File {
        name,
        media_type,
        text,
        hash: hash(text.as_bytes()),
    }
}

/// The hash is made when this is compiled.
static FILES: [File; 4] = [
    file(
        "pico.css",
        "text/css; charset=utf-8",
        include_str!("../../../assets/pico.min.css"),
    ),
    file(
        "admin.css",
        "text/css; charset=utf-8",
        include_str!("../../../assets/admin.css"),
    ),
    file(
        "htmx.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../assets/htmx.min.js"),
    ),
    file(
        "admin.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../assets/admin.js"),
    ),
];

/// FNV-1a: it has to tell one version from the next, and to be computed by the compiler.
const fn hash(bytes: &[u8]) -> u32 {
    let (mut hash, mut i) = (0x811c_9dc5_u32, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// Where a file is found; the address changes with the content.
#[must_use]
pub fn address(name: &str) -> String {
    let hash = FILES
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

/// One file. Its address changes with its content, so it may be kept for ever; but while programs are replaced, a page of
/// one may ask another that has another version of the file, and that must not stay.
#[handler]
pub fn asset(Path(name): Path<String>, Query(asked): Query<AssetQuery>) -> poem::Result<Response> {
    let file = FILES
        .iter()
        .find(|file| file.name == name)
        .ok_or(ApiError::NotFound)?;
    let kept = if asked.v == format!("{:08x}", file.hash) {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    Ok(Response::builder()
        .content_type(file.media_type)
        .header(header::CACHE_CONTROL, kept)
        .body(file.text))
}
