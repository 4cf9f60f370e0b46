//! Receives bodies within their size limit, timeout and memory budget.

use std::{io, pin::pin, time::Duration};

use futures_util::{Stream, TryStreamExt as _};
use poem::{Request, RequestBody, error::ReadBodyError, http::header};
use tokio::time::timeout;

use crate::{
    app_state::App,
    http::{
        body::{
            SMALL,
            memory_budget::BudgetPermit,
            parse::{Format, NamedValues, parse},
        },
        client_ip::ClientIp,
        error::ApiError,
    },
};

/// Reads a body of at most `limit` bytes and parses it. A large body is parsed in the pool, and its memory belongs to the
/// returned permit.
pub async fn read(
    request: &Request,
    body: &mut RequestBody,
    limit: usize,
) -> Result<(NamedValues, Option<BudgetPermit>), ApiError> {
    let stream = pin!(body.take().map_err(unreadable)?.into_bytes_stream());
    let received = timeout(request_timeout(request), receive(request, stream, limit));
    let (bytes, permit) = received.await.map_err(|_| ApiError::BodyTooSlow)??;
    let format = match Format::of(request)? {
        Some(format) => format,
        None if bytes.is_empty() => return Ok((Vec::new(), permit)),
        None => return Err(ApiError::UnsupportedMediaType),
    };
    let pool = request.data::<App>().map(|app| app.body_parsers.clone());
    let content_type = request.content_type().unwrap_or_default().to_owned();
    let fields = parse(&pool.unwrap_or_default(), format, content_type, bytes).await?;
    Ok((fields, permit))
}

/// Returns whether a body may be larger than [`SMALL`]: its `Content-Length` is larger or absent.
#[must_use]
pub fn may_be_large(request: &Request) -> bool {
    content_length(request).is_none_or(|length| length > SMALL)
}

fn content_length(request: &Request) -> Option<usize> {
    request.header(header::CONTENT_LENGTH)?.parse().ok()
}

fn request_timeout(request: &Request) -> Duration {
    request
        .data::<App>()
        .map_or(Duration::MAX, |app| app.config.connections.request_timeout)
}

/// Receives a body. A body larger than [`SMALL`] waits for its memory. The rest of a refused body is read for a while and
/// discarded, as many clients read no response while they send.
async fn receive(
    request: &Request,
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    limit: usize,
) -> Result<(Vec<u8>, Option<BudgetPermit>), ApiError> {
    let length = content_length(request);
    if length.is_some_and(|length| length > limit) {
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
    let mut permit = None;
    if let Some(app) = request.data::<App>() {
        let client_ip = ClientIp::of(request, &app.config.proxies);
        let reserved = app.body_memory.reserve(client_ip, length.unwrap_or(limit));
        permit = timeout(app.config.connections.request_timeout / 2, reserved)
            .await
            .ok()
            .flatten();
        if permit.is_none() {
            let _ = timeout(
                app.config.connections.request_timeout / 4,
                discard(&mut stream, limit),
            )
            .await;
            return Err(ApiError::Busy);
        }
    }
    bytes.reserve_exact(length.unwrap_or_default().saturating_sub(bytes.len()));
    if fill(&mut bytes, &mut stream, limit).await? {
        return Ok((bytes, permit));
    }
    Err(ApiError::BodyTooLarge)
}

/// Reads until `bytes` is longer than `limit`, or to the end of the body. Returns whether it reached the end.
async fn fill(
    bytes: &mut Vec<u8>,
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    limit: usize,
) -> Result<bool, ApiError> {
    while bytes.len() <= limit {
        let next = stream.try_next().await;
        let Some(chunk) = next.map_err(|error| unreadable(error.into()))? else {
            return Ok(true);
        };
        bytes.extend_from_slice(chunk.as_ref());
    }
    Ok(false)
}

fn unreadable(error: ReadBodyError) -> ApiError {
    ApiError::from_poem(error.into())
}

async fn discard(
    mut stream: impl Stream<Item = io::Result<impl AsRef<[u8]>>> + Unpin,
    limit: usize,
) {
    let mut discarded = 0;
    while discarded <= limit
        && let Ok(Some(chunk)) = stream.try_next().await
    {
        discarded += chunk.as_ref().len();
    }
}
