//! The HTTP client: connections that each send one request after another and time the responses.
//!
//! The client runs on the caller's thread, so that it uses at most one core.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::cli::Size;

/// Writes the request with a number.
pub(crate) type WriteRequest<'a> = &'a (dyn Fn(u64, &mut Vec<u8>) + Sync);

/// The requests to send, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) connections: usize,
    /// Responses during this time are not counted.
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The minimum time between two requests of a connection.
    pub(crate) interval: Duration,
    pub(crate) request: WriteRequest<'a>,
    /// The number of the next request. No two requests have the same number.
    pub(crate) next: &'a AtomicU64,
    /// The load ends before the request with this number, even if time is left.
    pub(crate) end: u64,
    /// The expected status of the responses.
    pub(crate) status: u16,
}

/// The responses to a load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The number of counted responses by status.
    statuses: BTreeMap<u16, usize>,
    /// The times of the counted responses, sorted.
    latencies: Vec<Duration>,
    /// The number of all responses, including those during the warm-up and after the end.
    pub(crate) total: usize,
    time: Duration,
    /// The expected status.
    status: u16,
}

impl Outcome {
    /// Returns the responses with the expected status per second.
    ///
    /// # Errors
    /// If more than 1 % of the responses have another status.
    pub(crate) fn rate(&self) -> anyhow::Result<f64> {
        let count = self.statuses.get(&self.status).copied();
        let (count, all) = (
            count.unwrap_or_default(),
            self.statuses.values().sum::<usize>(),
        );
        if count == 0 || count * 100 < all * 99 {
            let (expected, received) = (self.status, &self.statuses);
            bail!(
                "expected responses with status {expected}; received (status: count): {received:?}"
            );
        }
        Ok(count as f64 / self.time.as_secs_f64())
    }

    /// Returns the time within which this part of the responses arrived.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        percentile(&self.latencies, part)
    }
}

/// Returns a percentile of sorted values; the default value if there are none.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], part: f64) -> T {
    let index = (sorted.len() as f64 * part).ceil() as usize;
    let found = sorted.get(index.saturating_sub(1));
    found.copied().unwrap_or_default()
}

impl<'a> Load<'a> {
    /// Creates a load of 32 connections for one side of a round.
    pub(crate) fn new(
        size: Size,
        request: WriteRequest<'a>,
        next: &'a AtomicU64,
        status: u16,
    ) -> Self {
        Self {
            connections: 32,
            warm_up: size.round_time() / 6,
            time: size.round_time(),
            interval: Duration::ZERO,
            request,
            next,
            end: u64::MAX,
            status,
        }
    }

    /// Sends requests, over connections to the servers in turn, and waits for the last response.
    pub(crate) fn run(&self, servers: &[SocketAddr]) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let begin = Instant::now() + self.warm_up;
        let end = begin + self.time;
        let connections = (0..self.connections).map(|number| async move {
            let server = servers[number % servers.len()];
            self.run_connection(server, begin, end).await
        });
        let parts = runtime.block_on(try_join_all(connections))?;
        let mut outcome = Outcome {
            time: self.time,
            status: self.status,
            ..Outcome::default()
        };
        for part in parts {
            outcome.total += part.total;
            outcome.latencies.extend(part.latencies);
            for (status, count) in part.statuses {
                *outcome.statuses.entry(status).or_default() += count;
            }
        }
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }

    async fn run_connection(
        &self,
        server: SocketAddr,
        begin: Instant,
        end: Instant,
    ) -> anyhow::Result<Outcome> {
        let mut stream = connect(server).await?;
        let mut outcome = Outcome::default();
        let (mut request, mut response) = (Vec::new(), Vec::new());
        loop {
            let sent = Instant::now();
            if sent >= end {
                return Ok(outcome);
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.end {
                return Ok(outcome);
            }
            request.clear();
            (self.request)(number, &mut request);
            stream.write_all(&request).await?;
            let status = read_response(&mut stream, &mut response).await?;
            let now = Instant::now();
            outcome.total += 1;
            // Counts a connection's first response even if it is late, so that slow responses are not left out.
            if now >= begin && (now < end || outcome.statuses.is_empty()) {
                *outcome.statuses.entry(status).or_default() += 1;
                outcome.latencies.push(now - sent);
            }
            let pause = self.interval.saturating_sub(now - sent);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(server)
        .await
        .with_context(|| format!("failed to connect to {server}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads a response and returns its status.
async fn read_response(stream: &mut TcpStream, response: &mut Vec<u8>) -> anyhow::Result<u16> {
    response.clear();
    loop {
        if stream.read_buf(response).await? == 0 {
            bail!("the server closed the connection before the end of a response");
        }
        let Some(head) = response.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&response[..head])?;
        let status = text
            .get(9..12)
            .context("the response has no status line")?
            .parse()?;
        let length: usize = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |(_, length)| length.parse())?;
        while response.len() < head + 4 + length {
            if stream.read_buf(response).await? == 0 {
                bail!("the server closed the connection before the end of a response");
            }
        }
        return Ok(status);
    }
}

/// Sends one request and returns the status and the whole response.
pub(crate) fn send(server: SocketAddr, request: &[u8]) -> anyhow::Result<(u16, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stream = connect(server).await?;
        stream.write_all(request).await?;
        let mut response = Vec::new();
        let status = read_response(&mut stream, &mut response).await?;
        Ok((status, String::from_utf8(response)?))
    })
}

/// Writes a GET request; an empty access token adds no `Authorization`.
pub(crate) fn write_get(request: &mut Vec<u8>, path: &str, access: &str) {
    request.extend_from_slice(b"GET ");
    request.extend_from_slice(path.as_bytes());
    request.extend_from_slice(b" HTTP/1.1\r\nHost: latchkey\r\n");
    if !access.is_empty() {
        request.extend_from_slice(b"Authorization: Bearer ");
        request.extend_from_slice(access.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
}

/// Writes a browser's request for a page.
pub(crate) fn write_page(request: &mut Vec<u8>, path: &str, cookie: &str) {
    request.extend_from_slice(
        format!("GET {path} HTTP/1.1\r\nHost: latchkey\r\nCookie: {cookie}\r\n\r\n").as_bytes(),
    );
}

/// Writes a browser's request with a form.
pub(crate) fn write_form(request: &mut Vec<u8>, path: &str, cookie: &str, form: &str) {
    let length = form.len();
    request.extend_from_slice(
        format!(
            "POST {path} HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Cookie: {cookie}\r\nContent-Length: {length}\r\n\r\n{form}"
        )
        .as_bytes(),
    );
}

/// Writes a request with a JSON body; an empty access token adds no `Authorization`.
pub(crate) fn write_json(
    request: &mut Vec<u8>,
    method: &str,
    path: &str,
    access: &str,
    body: &Value,
) {
    let body = body.to_string();
    let authorization = match access {
        "" => String::new(),
        access => format!("Authorization: Bearer {access}\r\n"),
    };
    let length = body.len();
    request.extend_from_slice(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/json\r\n\
             {authorization}Content-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
}
