//! Request bodies: JSON, form or multipart on every endpoint, all becoming [`Fields`].
//!
//! The framework's own payload types stop at the first bad field and speak of Rust's types; here a body is only taken
//! apart, and `fields` judges it.

pub mod data_url;
pub mod fields;
pub mod json;
pub mod memory_budget;

use std::{io, marker::PhantomData, pin::pin, time::Duration};

use futures_util::{Stream, TryStreamExt as _};
use poem::{Request, RequestBody, error::ReadBodyError, http::header, web::Multipart};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};
use serde_json::error::Category;
use tokio::time::timeout;

use crate::{
    app_state::App,
    http::{
        body::{
            fields::{Fields, Value},
            json::Members,
            memory_budget::BudgetPermit,
        },
        client_ip::Peer,
        error::ApiError,
    },
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
const MAX_FIELDS: usize = json::MAX_MEMBERS;

/// The body of a request that the document describes as `T`, of at most `LIMIT` bytes.
#[derive(Debug)]
pub struct Body<T, const LIMIT: usize = SMALL> {
    /// What was sent.
    pub fields: Fields,
    /// Free again when the handler has ended.
    _place: Option<BudgetPermit>,
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
        let (fields, place) = read(request, body, LIMIT).await?;
        Ok(Self {
            fields: Fields::new(fields),
            _place: place,
            schema: PhantomData,
        })
    }
}

/// Takes a body of at most `limit` bytes apart. What is in the fields is in the place, where there is one.
///
/// # Errors
/// When it is too large, too slow, or not what its Content-Type says, or when too many others are being read.
pub async fn read(
    request: &Request,
    body: &mut RequestBody,
    limit: usize,
) -> poem::Result<(Vec<(String, Value)>, Option<BudgetPermit>)> {
    let patience = patience(request);
    let stream = pin!(body.take()?.into_bytes_stream());
    let (bytes, place) = timeout(patience, receive(request, stream, limit))
        .await
        .map_err(|_| ApiError::BodyTooSlow)??;
    let fields = match media_type(request) {
        None if bytes.is_empty() => Vec::new(),
        Some("application/json") => parse(bytes, from_json).await?,
        Some("application/x-www-form-urlencoded") => parse(bytes, from_form).await?,
        Some("multipart/form-data") => from_multipart(request, bytes).await?,
        _ => return Err(ApiError::UnsupportedMediaType.into()),
    };
    Ok((fields, place))
}

/// Whether a body can be larger than [`SMALL`]: it says so, or says nothing of its length.
#[must_use]
pub fn may_be_large(request: &Request) -> bool {
    declared(request).is_none_or(|length| length > SMALL)
}

fn declared(request: &Request) -> Option<usize> {
    request.header(header::CONTENT_LENGTH)?.parse().ok()
}

fn patience(request: &Request) -> Duration {
    request
        .data::<App>()
        .map_or(Duration::MAX, |app| app.config.request)
}

/// Reads a body. What is more than small has a place first. What is refused is read on for a while and not kept, as
/// whoever is still sending does not listen.
async fn receive(
    request: &Request,
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    limit: usize,
) -> poem::Result<(Vec<u8>, Option<BudgetPermit>)> {
    let declared = declared(request);
    if declared.is_some_and(|length| length > limit) {
        discard(&mut stream, limit).await;
        return Err(ApiError::BodyTooLarge.into());
    }
    let mut bytes = Vec::new();
    if fill(&mut bytes, &mut stream, limit.min(SMALL)).await? {
        return Ok((bytes, None));
    }
    if limit <= SMALL {
        return Err(ApiError::BodyTooLarge.into());
    }
    let mut place = None;
    if let Some(app) = request.data::<App>() {
        let peer = Peer::of(request, &app.config.proxies);
        let patience = patience(request);
        let waiting = app.room.take(peer, declared.unwrap_or(limit));
        place = timeout(patience / 2, waiting).await.ok().flatten();
        if place.is_none() {
            let _ = timeout(patience / 4, discard(&mut stream, limit)).await;
            return Err(ApiError::Busy.into());
        }
    }
    bytes.reserve_exact(declared.unwrap_or_default().saturating_sub(bytes.len()));
    if fill(&mut bytes, &mut stream, limit).await? {
        return Ok((bytes, place));
    }
    Err(ApiError::BodyTooLarge.into())
}

/// Reads until there are more bytes than that, or the end; whether it was the end.
async fn fill(
    bytes: &mut Vec<u8>,
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    most: usize,
) -> Result<bool, ReadBodyError> {
    while bytes.len() <= most {
        let Some(more) = stream.try_next().await? else {
            return Ok(true);
        };
        bytes.extend_from_slice(more.as_ref());
    }
    Ok(false)
}

async fn discard(
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    most: usize,
) {
    let mut read = 0;
    while read <= most
        && let Ok(Some(more)) = stream.try_next().await
    {
        read += more.as_ref().len();
    }
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

/// The names and values of a body, in its order.
type Parts = Vec<(String, Value)>;

/// Takes bytes apart, many of them on a blocking thread.
async fn parse(
    bytes: Vec<u8>,
    from: fn(&[u8]) -> Result<Parts, ApiError>,
) -> Result<Parts, ApiError> {
    if bytes.len() <= SMALL {
        return from(&bytes);
    }
    let parsed = tokio::task::spawn_blocking(move || from(&bytes)).await;
    parsed.map_err(|error| ApiError::Internal(error.to_string()))?
}

fn from_json(bytes: &[u8]) -> Result<Parts, ApiError> {
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

fn from_form(bytes: &[u8]) -> Result<Parts, ApiError> {
    // Read as a form, it would be one field of a strange name, and the answer would call the others missing.
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::MalformedBody(
            "The body looks like JSON. Send it with the Content-Type application/json.".into(),
        ));
    }
    let pairs: Vec<_> = form_urlencoded::parse(bytes)
        .take(MAX_FIELDS + 1)
        .map(|(name, text)| (name.into_owned(), Value::Text(text.into_owned())))
        .collect();
    if pairs.len() > MAX_FIELDS {
        return Err(too_many_fields());
    }
    Ok(pairs)
}

async fn from_multipart(request: &Request, bytes: Vec<u8>) -> Result<Parts, ApiError> {
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
