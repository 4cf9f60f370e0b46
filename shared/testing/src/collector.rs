//! A trace collector (OTLP over HTTP) in the process of the test.

use std::{
    fmt::Write as _,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value,
};
use prost::Message as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A received span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The program that sent the span.
    pub service: String,
    /// The name of the operation.
    pub name: String,
    /// The id of the trace, in hex.
    pub trace_id: String,
    /// The id of the span, in hex.
    pub id: String,
    /// The id of the parent span in hex, empty for a root span.
    pub parent_id: String,
    /// The OTLP kind: server (2), client (3) or consumer (5).
    pub kind: i32,
    /// Whether its status is an error.
    pub failed: bool,
    /// The number of log events in the span.
    pub events: usize,
}

/// A running collector. It stops when dropped.
pub struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts a collector that accepts every request.
    pub async fn start() -> Self {
        Self::start_with(true).await
    }

    /// Starts a collector that reads requests and never responds.
    pub async fn start_hanging() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(responds: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&bodies);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A failed connection is visible in the test as missing spans.
                tokio::spawn(serve(stream, Arc::clone(&received), responds));
            }
        });
        Self {
            url,
            bodies,
            server,
        }
    }

    /// Returns the value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the bodies of all received requests.
    #[must_use]
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.clone()
    }

    /// Returns all received spans.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.bodies() {
            let export = ExportTraceServiceRequest::decode(&*body).expect("spans");
            for resource in export.resource_spans {
                let attributes = resource.resource.unwrap_or_default().attributes;
                let service = attributes
                    .into_iter()
                    .find(|it| it.key == "service.name")
                    .and_then(|it| match it.value?.value? {
                        Value::StringValue(name) => Some(name),
                        _ => None,
                    })
                    .unwrap_or_default();
                for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                    spans.push(Span {
                        service: service.clone(),
                        name: span.name,
                        trace_id: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent_id: hex(&span.parent_span_id),
                        kind: span.kind,
                        events: span.events.len(),
                        failed: span.status.is_some_and(|status| status.code == 2),
                    });
                }
            }
        }
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    stream: TcpStream,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    responds: bool,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(body);
        if !responds {
            return std::future::pending().await;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await?;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
