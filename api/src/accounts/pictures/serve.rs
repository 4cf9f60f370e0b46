//! Serves profile pictures: `GET /media/{name}`.

use poem::{
    Body, Response, handler,
    http::{HeaderMap, StatusCode, header},
    web::{Data, Path},
};

use crate::{
    app_state::App,
    http::{caching, error::ApiError},
};

/// An exception from `no-store` (A6): browsers may cache a picture without expiry, as its name is random and its content
/// never changes. The name is therefore also a strong entity tag (RFC 9110, 8.8.3).
#[handler]
pub async fn picture(
    Data(app): Data<&App>,
    Path(name): Path<String>,
    headers: &HeaderMap,
) -> poem::Result<Response> {
    let opened = app.pictures.open(&name).await.map_err(ApiError::from)?;
    let stored = opened.ok_or(ApiError::NotFound)?;
    let tag = format!("\"{name}\"");
    let builder = Response::builder()
        .header(
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable",
        )
        .header(header::ETAG, &tag);
    if caching::is_known(headers, &tag) {
        return Ok(builder.status(StatusCode::NOT_MODIFIED).finish());
    }
    let (media_type, bytes) = (stored.media_type, stored.bytes);
    let body = Body::from_bytes_stream(stored.into_chunks());
    Ok(builder
        .content_type(media_type)
        .header(header::CONTENT_LENGTH, bytes)
        .body(body))
}
