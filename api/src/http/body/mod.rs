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
use tokio::{runtime::Handle, time::timeout};

use crate::{
    app_state::App,
    http::cpu_pool::CpuPool,
    http::{
        body::{
            fields::{Fields, Value},
            json::Members,
            memory_budget::BudgetPermit,
        },
        client_ip::ClientIp,
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

/// The unread body of a request, which the document describes as `T`, of at most `LIMIT` bytes.
///
/// A handler first asks the limits that need no field, then reads the body: a rate limited request costs no parsing.
pub struct Body<'a, T, const LIMIT: usize = SMALL> {
    request: &'a Request,
    unread: RequestBody,
    schema: PhantomData<T>,
}

/// A body that was read and parsed.
#[derive(Debug)]
pub struct ParsedBody {
    /// What was sent.
    pub fields: Fields,
    /// Free again when the handler has ended.
    _place: Option<BudgetPermit>,
}

impl<T, const LIMIT: usize> Body<'_, T, LIMIT> {
    /// Reads and parses the body.
    ///
    /// # Errors
    /// See [`read`].
    pub async fn read(mut self) -> Result<ParsedBody, ApiError> {
        let (fields, place) = read(self.request, &mut self.unread, LIMIT).await?;
        Ok(ParsedBody {
            fields: Fields::new(fields),
            _place: place,
        })
    }

    /// Returns whether the body can be larger than [`SMALL`], as one with a picture is.
    #[must_use]
    pub fn may_be_large(&self) -> bool {
        may_be_large(self.request)
    }
}

impl<'a, T: Type, const LIMIT: usize> ApiExtractor<'a> for Body<'a, T, LIMIT> {
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
            request,
            unread: RequestBody::new(body.take()?),
            schema: PhantomData,
        })
    }
}

/// Reads a body of at most `limit` bytes and parses it, a large one in the [`CpuPool`]. What is in the fields is in the place,
/// where there is one.
///
/// # Errors
/// When it is too large, too slow, or not what its Content-Type says, or when too many others are being read.
pub async fn read(
    request: &Request,
    body: &mut RequestBody,
    limit: usize,
) -> Result<(Parts, Option<BudgetPermit>), ApiError> {
    let patience = patience(request);
    let stream = pin!(body.take().map_err(unreadable)?.into_bytes_stream());
    let (bytes, place) = timeout(patience, receive(request, stream, limit))
        .await
        .map_err(|_| ApiError::BodyTooSlow)??;
    let format = match media_type(request) {
        None if bytes.is_empty() => return Ok((Vec::new(), place)),
        Some("application/json") => Format::Json,
        Some("application/x-www-form-urlencoded") => Format::Form,
        Some("multipart/form-data") => Format::Multipart,
        _ => return Err(ApiError::UnsupportedMediaType),
    };
    let pool = request.data::<App>().map(|app| app.body_parsers.clone());
    let content_type = request.content_type().unwrap_or_default().to_owned();
    let fields = parse(&pool.unwrap_or_default(), format, content_type, bytes).await?;
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
) -> Result<(Vec<u8>, Option<BudgetPermit>), ApiError> {
    let declared = declared(request);
    if declared.is_some_and(|length| length > limit) {
        discard(&mut stream, limit).await;
        return Err(ApiError::BodyTooLarge);
    }
    let mut bytes = Vec::new();
    if fill(&mut bytes, &mut stream, limit.min(SMALL)).await? {
        return Ok((bytes, None));
    }
    if limit <= SMALL {
        return Err(ApiError::BodyTooLarge);
    }
    let mut place = None;
    if let Some(app) = request.data::<App>() {
        let client_ip = ClientIp::of(request, &app.config.proxies);
        let patience = patience(request);
        let waiting = app.body_memory.take(client_ip, declared.unwrap_or(limit));
        place = timeout(patience / 2, waiting).await.ok().flatten();
        if place.is_none() {
            let _ = timeout(patience / 4, discard(&mut stream, limit)).await;
            return Err(ApiError::Busy);
        }
    }
    bytes.reserve_exact(declared.unwrap_or_default().saturating_sub(bytes.len()));
    if fill(&mut bytes, &mut stream, limit).await? {
        return Ok((bytes, place));
    }
    Err(ApiError::BodyTooLarge)
}

/// Reads until there are more bytes than that, or the end; whether it was the end.
async fn fill(
    bytes: &mut Vec<u8>,
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    most: usize,
) -> Result<bool, ApiError> {
    while bytes.len() <= most {
        let next = stream.try_next().await;
        let Some(more) = next.map_err(|error| unreadable(error.into()))? else {
            return Ok(true);
        };
        bytes.extend_from_slice(more.as_ref());
    }
    Ok(false)
}

/// What becomes of a body that could not be read to its end.
fn unreadable(error: ReadBodyError) -> ApiError {
    ApiError::from_poem(error.into())
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
pub type Parts = Vec<(String, Value)>;

/// A media type that is parsed.
#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Form,
    Multipart,
}

/// Parses bytes. More than [`SMALL`] of them are parsed in the pool.
async fn parse(
    pool: &CpuPool,
    format: Format,
    content_type: String,
    bytes: Vec<u8>,
) -> Result<Parts, ApiError> {
    if bytes.len() <= SMALL {
        return parse_here(format, content_type, bytes).await;
    }
    let runtime = Handle::current();
    pool.run(move || runtime.block_on(parse_here(format, content_type, bytes)))
        .await?
}

async fn parse_here(
    format: Format,
    content_type: String,
    bytes: Vec<u8>,
) -> Result<Parts, ApiError> {
    match format {
        Format::Json => from_json(&bytes),
        Format::Form => from_form(&bytes),
        Format::Multipart => from_multipart(&content_type, bytes).await,
    }
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

async fn from_multipart(content_type: &str, bytes: Vec<u8>) -> Result<Parts, ApiError> {
    let malformed = || ApiError::MalformedBody("The body is not valid multipart/form-data.".into());
    let request = Request::builder().content_type(content_type).finish();
    let mut body = RequestBody::new(bytes.into());
    let mut parts = <Multipart as poem::FromRequest>::from_request(&request, &mut body)
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    const FORMATS: [Format; 3] = [Format::Json, Format::Form, Format::Multipart];

    /// A body with one field of so many letters, and its Content-Type.
    fn body(format: Format, letters: usize) -> (String, Vec<u8>) {
        let text = "x".repeat(letters);
        let (content_type, body) = match format {
            Format::Json => ("application/json", format!("{{\"a\":\"{text}\"}}")),
            Format::Form => ("application/x-www-form-urlencoded", format!("a={text}")),
            Format::Multipart => {
                let head = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
                let body = format!("{head}{text}\r\n--b--\r\n");
                ("multipart/form-data; boundary=b", body)
            }
        };
        (content_type.to_owned(), body.into_bytes())
    }

    /// C1: large bodies of every format wait for a core; small ones are parsed inline.
    #[tokio::test]
    async fn large_bodies_are_parsed_in_the_pool() {
        let pool = CpuPool::new(1);
        let (finish, may_finish) = mpsc::channel::<()>();
        let mut busy = Box::pin(pool.run(move || may_finish.recv()));
        assert!(busy.as_mut().now_or_never().is_none());

        let mut waiting = Vec::new();
        for format in FORMATS {
            let parsed = |letters| {
                let (content_type, body) = body(format, letters);
                parse(&pool, format, content_type, body)
            };
            let small = parsed(100).now_or_never().expect("parsed inline");
            assert_eq!(small.unwrap().len(), 1, "{format:?}");
            let mut large = Box::pin(parsed(SMALL));
            assert!(large.as_mut().now_or_never().is_none(), "{format:?}");
            waiting.push(large);
        }

        finish.send(()).unwrap();
        busy.await.unwrap().unwrap();
        for large in waiting {
            let fields = large.await.unwrap();
            let [(name, Value::Text(text))] = &fields[..] else {
                panic!("{} fields", fields.len());
            };
            assert_eq!((name.as_str(), text.len()), ("a", SMALL));
        }
    }
}
