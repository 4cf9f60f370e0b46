//! Profile pictures on their way out: `GET /media/{name}`.

use poem::{
    Response, handler,
    http::header,
    web::{Data, Path},
};

use crate::{app::App, error::ApiError};

/// A picture, with the type it was written as. Its name is random and its content never changes, so it may be kept.
#[handler]
pub async fn picture(Data(app): Data<&App>, Path(name): Path<String>) -> poem::Result<Response> {
    let (bytes, media_type) = app.pictures.load(&name).await.ok_or(ApiError::NotFound)?;
    Ok(Response::builder()
        .content_type(media_type)
        .header(
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable",
        )
        .body(bytes))
}
