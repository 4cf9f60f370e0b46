//! Request bodies: JSON, form or multipart on every endpoint, all becoming [`Fields`].
//!
//! The framework's own payload types stop at the first bad field and speak of Rust's types; here a body is only taken
//! apart, and `fields` judges it.

use std::{marker::PhantomData, time::Duration};

use poem::{Request, RequestBody, http::header, web::Multipart};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};
use serde_json::error::Category;
use tokio::time::timeout;

use crate::{
    app::App,
    error::ApiError,
    fields::{Fields, Value},
    json::{self, Members},
};

/// The media types that are taken, as the document names them.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
];

/// Enough for any form without a picture.
pub const SMALL: usize = 64 * 1024;

/// Enough for a form with a picture of 5 MiB in base64.
pub const WITH_PICTURE: usize = 8 * 1024 * 1024;

/// More fields than any form here has.
const MAX_FIELDS: usize = json::MOST;

/// The body of a request that the document describes as `T`, of at most `LIMIT` bytes.
#[derive(Debug)]
pub struct Body<T, const LIMIT: usize = SMALL> {
    /// What was sent.
    pub fields: Fields,
    schema: PhantomData<T>,
}

impl<'a, T: Type, const LIMIT: usize> ApiExtractor<'a> for Body<T, LIMIT> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: MEDIA_TYPES
                .map(|content_type| MetaMediaType {
                    content_type,
                    schema: T::schema_ref(),
                })
                .into(),
            // No body is an empty form, whose answer names what is missing. Besides, openapi-python-client makes broken
            // code of a required body of several types.
            required: false,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self {
            fields: Fields::new(read(request, body, LIMIT).await?),
            schema: PhantomData,
        })
    }
}

/// Takes a body of at most `limit` bytes apart.
///
/// # Errors
/// When it is too large, too slow, or not what its Content-Type says.
pub async fn read(
    request: &Request,
    body: &mut RequestBody,
    limit: usize,
) -> poem::Result<Vec<(String, Value)>> {
    let patience = request
        .data::<App>()
        .map_or(Duration::MAX, |app| app.config.request);
    let bytes = timeout(patience, body.take()?.into_bytes_limit(limit))
        .await
        .map_err(|_| ApiError::BodyTooSlow)??;
    Ok(match media_type(request) {
        None if bytes.is_empty() => Vec::new(),
        Some("application/json") => from_json(&bytes)?,
        Some("application/x-www-form-urlencoded") => from_form(&bytes)?,
        Some("multipart/form-data") => from_multipart(request, bytes.into()).await?,
        _ => return Err(ApiError::UnsupportedMediaType.into()),
    })
}

fn media_type(request: &Request) -> Option<&'static str> {
    let essence = request
        .header(header::CONTENT_TYPE)?
        .split(';')
        .next()?
        .trim();
    // A type that is not taken has to differ from one that is not there.
    Some(
        MEDIA_TYPES
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(essence))
            .unwrap_or("other"),
    )
}

fn from_json(bytes: &[u8]) -> Result<Vec<(String, Value)>, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let Members(members) = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiError::MalformedBody(match error.classify() {
            Category::Data => "The body has to be a JSON object.".into(),
            _ => format!("The body is not valid JSON (line {line}, column {column}).").into(),
        })
    })?;
    if members.len() > MAX_FIELDS {
        return Err(too_many_fields());
    }
    Ok(members)
}

fn from_form(bytes: &[u8]) -> Result<Vec<(String, Value)>, ApiError> {
    let pairs: Vec<_> = form_urlencoded::parse(bytes)
        .take(MAX_FIELDS + 1)
        .map(|(name, text)| (name.into_owned(), Value::Text(text.into_owned())))
        .collect();
    if pairs.len() > MAX_FIELDS {
        return Err(too_many_fields());
    }
    Ok(pairs)
}

async fn from_multipart(
    request: &Request,
    bytes: Vec<u8>,
) -> Result<Vec<(String, Value)>, ApiError> {
    let malformed = || ApiError::MalformedBody("The body is not valid multipart/form-data.".into());
    let mut body = RequestBody::new(bytes.into());
    let mut parts = <Multipart as poem::FromRequest>::from_request(request, &mut body)
        .await
        .map_err(|_| malformed())?;
    let mut values = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| malformed())? {
        if values.len() == MAX_FIELDS {
            return Err(too_many_fields());
        }
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let bytes = part.bytes().await.map_err(|_| malformed())?;
        let value = if is_file {
            Value::File(bytes)
        } else {
            Value::Text(String::from_utf8(bytes).map_err(|_| malformed())?)
        };
        values.push((name, value));
    }
    Ok(values)
}

fn too_many_fields() -> ApiError {
    ApiError::MalformedBody("The body has too many fields.".into())
}
