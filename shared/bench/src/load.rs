//! The client: connections that send one request after another, each request its own, and time the answers.
//!
//! It runs on the thread of its caller, so that it takes one core at most and its own cost stays small beside what it
//! measures.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What is sent, by whom, and for how long.
pub(crate) struct Load<'a> {
    /// Connections go to these servers in turn.
    pub(crate) servers: &'a [SocketAddr],
    pub(crate) connections: usize,
    /// Answers before this do not count.
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The least time between two requests of one connection.
    pub(crate) pace: Duration,
    /// Writes the request of a number. No number comes twice.
    pub(crate) request: &'a (dyn Fn(u64, &mut Vec<u8>) + Sync),
    /// The numbers, from the next on.
    pub(crate) next: &'a AtomicU64,
    /// Numbers from this on are not sent, though there be time left.
    pub(crate) end: u64,
}

/// What came back within the time.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How often each status came.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// Of every answer, in the order of their length.
    pub(crate) latencies: Vec<Duration>,
    /// Every answer, the warm-up's and those past the time included.
    pub(crate) total: usize,
    time: Duration,
}

impl Outcome {
    /// Answers with this status in a second; an error when none came or another was frequent.
    pub(crate) fn rate(&self, status: u16) -> anyhow::Result<f64> {
        let count = self.answers.get(&status).copied().unwrap_or_default();
        let all: usize = self.answers.values().sum();
        if count == 0 || count * 100 < all * 99 {
            bail!("{status} was expected; these came: {:?}", self.answers);
        }
        Ok(count as f64 / self.time.as_secs_f64())
    }

    /// The time within which so large a part of the answers came.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        percentile(&self.latencies, part)
    }
}

/// Of what is sorted.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], part: f64) -> T {
    let index = (sorted.len() as f64 * part).ceil() as usize;
    let found = sorted.get(index.saturating_sub(1));
    found.copied().unwrap_or_default()
}

impl Load<'_> {
    /// Sends, and waits until the last answer is in, so that nothing goes on while the next is measured.
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let begin = Instant::now() + self.warm_up;
        let end = begin + self.time;
        let connections = (0..self.connections).map(|number| async move {
            let server = self.servers[number % self.servers.len()];
            self.converse(server, begin, end).await
        });
        let parts = runtime.block_on(try_join_all(connections))?;
        let mut outcome = Outcome {
            time: self.time,
            ..Outcome::default()
        };
        for part in parts {
            outcome.total += part.total;
            outcome.latencies.extend(part.latencies);
            for (status, count) in part.answers {
                *outcome.answers.entry(status).or_default() += count;
            }
        }
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }

    async fn converse(
        &self,
        server: SocketAddr,
        begin: Instant,
        end: Instant,
    ) -> anyhow::Result<Outcome> {
        let mut stream = connect(server).await?;
        let mut outcome = Outcome::default();
        let (mut request, mut answer) = (Vec::new(), Vec::new());
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
            let status = read_answer(&mut stream, &mut answer).await?;
            let now = Instant::now();
            outcome.total += 1;
            // A connection's first answer counts though it be late: the slowest are not left out.
            if now >= begin && (now < end || outcome.answers.is_empty()) {
                *outcome.answers.entry(status).or_default() += 1;
                outcome.latencies.push(now - sent);
            }
            let early = self.pace.saturating_sub(now - sent);
            if !early.is_zero() {
                tokio::time::sleep(early).await;
            }
        }
    }
}

async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(server)
        .await
        .with_context(|| format!("{server} does not answer"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer, of which only the status and the length matter.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<u16> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            bail!("the server closed a connection");
        }
        let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&answer[..head])?;
        let status = text.get(9..12).context("a status line")?.parse()?;
        let length: usize = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |(_, length)| length.parse())?;
        while answer.len() < head + 4 + length {
            if stream.read_buf(answer).await? == 0 {
                bail!("the server closed a connection");
            }
        }
        return Ok(status);
    }
}

/// Sends one request and returns its whole answer.
pub(crate) fn ask(server: SocketAddr, request: &[u8]) -> anyhow::Result<(u16, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stream = connect(server).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        let status = read_answer(&mut stream, &mut answer).await?;
        Ok((status, String::from_utf8(answer)?))
    })
}

/// A request without a body.
pub(crate) fn get(request: &mut Vec<u8>, path: &str, access: &str) {
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

/// A request for a page by somebody with a cookie.
pub(crate) fn page(request: &mut Vec<u8>, path: &str, cookie: &str) {
    request.extend_from_slice(
        format!("GET {path} HTTP/1.1\r\nHost: latchkey\r\nCookie: {cookie}\r\n\r\n").as_bytes(),
    );
}

/// A form that is sent by somebody with a cookie.
pub(crate) fn post_form(request: &mut Vec<u8>, path: &str, cookie: &str, form: &str) {
    let length = form.len();
    request.extend_from_slice(
        format!(
            "POST {path} HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Cookie: {cookie}\r\nContent-Length: {length}\r\n\r\n{form}"
        )
        .as_bytes(),
    );
}

/// A request with a JSON body.
pub(crate) fn send(request: &mut Vec<u8>, method: &str, path: &str, access: &str, body: &str) {
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
