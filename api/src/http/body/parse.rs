//! Parses the bytes of a body into names and values.

use poem::{Request, RequestBody, http::header, web::Multipart};
use serde_json::error::Category;
use tokio::runtime::Handle;

use crate::http::{
    body::{
        SMALL,
        fields::Value,
        json::{MAX_MEMBERS, Members},
    },
    cpu_pool::CpuPool,
    error::ApiError,
};

/// The names and values of a body, in order. A name may occur several times.
pub type NamedValues = Vec<(String, Value)>;

/// A supported media type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Json,
    Form,
    Multipart,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Json, Self::Form, Self::Multipart];

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Multipart => "multipart/form-data",
        }
    }

    /// Returns the format that the Content-Type of a request names, or `None` without a Content-Type.
    pub fn of(request: &Request) -> Result<Option<Self>, ApiError> {
        let Some(content_type) = request.header(header::CONTENT_TYPE) else {
            return Ok(None);
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let format = Self::ALL
            .into_iter()
            .find(|format| format.media_type().eq_ignore_ascii_case(essence));
        format.ok_or(ApiError::UnsupportedMediaType).map(Some)
    }
}

/// Parses a body. A body larger than [`SMALL`] is parsed in the pool.
pub(super) async fn parse(
    pool: &CpuPool,
    format: Format,
    content_type: String,
    bytes: Vec<u8>,
) -> Result<NamedValues, ApiError> {
    if bytes.len() <= SMALL {
        return parse_inline(format, content_type, bytes).await;
    }
    let runtime = Handle::current();
    pool.run(move || runtime.block_on(parse_inline(format, content_type, bytes)))
        .await?
}

async fn parse_inline(
    format: Format,
    content_type: String,
    bytes: Vec<u8>,
) -> Result<NamedValues, ApiError> {
    match format {
        Format::Json => from_json(&bytes),
        Format::Form => from_form(&bytes),
        Format::Multipart => from_multipart(&content_type, bytes).await,
    }
}

fn from_json(bytes: &[u8]) -> Result<NamedValues, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let Members(members) = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiError::MalformedBody(match error.classify() {
            Category::Data => "The body must be a JSON object.".into(),
            _ => format!("The body is not valid JSON (line {line}, column {column}).").into(),
        })
    })?;
    if members.len() > MAX_MEMBERS {
        return Err(too_many_fields());
    }
    Ok(members)
}

fn from_form(bytes: &[u8]) -> Result<NamedValues, ApiError> {
    // As a form it would be one field with a strange name, and the response would report all others as missing.
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::MalformedBody(
            "The body looks like JSON. Send it with the Content-Type application/json.".into(),
        ));
    }
    let pairs: Vec<_> = form_urlencoded::parse(bytes)
        .take(MAX_MEMBERS + 1)
        .map(|(name, text)| (name.into_owned(), Value::Text(text.into_owned())))
        .collect();
    if pairs.len() > MAX_MEMBERS {
        return Err(too_many_fields());
    }
    Ok(pairs)
}

async fn from_multipart(content_type: &str, bytes: Vec<u8>) -> Result<NamedValues, ApiError> {
    let malformed = || ApiError::MalformedBody("The body is not valid multipart/form-data.".into());
    let request = Request::builder().content_type(content_type).finish();
    let mut body = RequestBody::new(bytes.into());
    let mut parts = <Multipart as poem::FromRequest>::from_request(&request, &mut body)
        .await
        .map_err(|_| malformed())?;
    let mut values = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| malformed())? {
        if values.len() == MAX_MEMBERS {
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

    /// Returns a body with one field of `letters` letters, and its Content-Type.
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

    /// C1: large bodies of every format wait for a core. Small ones are parsed inline.
    #[tokio::test]
    async fn large_bodies_are_parsed_in_the_pool() {
        let pool = CpuPool::new(1);
        let (finish, may_finish) = mpsc::channel::<()>();
        let mut busy = Box::pin(pool.run(move || may_finish.recv()));
        assert!(busy.as_mut().now_or_never().is_none());

        let mut waiting = Vec::new();
        for format in Format::ALL {
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
