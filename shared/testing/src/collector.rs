//! A collector of traces (OTLP over HTTP) in the test's own process.

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

/// One span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    /// The program that sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The trace it belongs to, in hex.
    pub trace: String,
    /// Its id, in hex.
    pub id: String,
    /// The id of the span around it, in hex; empty for the first of a trace.
    pub parent: String,
    /// Whether it is a server's (2), a client's (3) or a consumer's (5).
    pub kind: i32,
    /// Whether it failed.
    pub failed: bool,
    /// How many lines of a log came with it.
    pub events: usize,
}

/// The collector; it ends with this value.
pub struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    server: JoinHandle<()>,
}

impl Collector {
    /// One that takes what it gets.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        Self::with_answers(true).await
    }

    /// One that reads and never answers.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn that_hangs() -> Self {
        Self::with_answers(false).await
    }

    async fn with_answers(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks off shows in the spans that are missing.
                tokio::spawn(serve(stream, Arc::clone(&kept), answers));
            }
        });
        Self {
            url,
            bodies,
            server,
        }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything that arrived, as it came.
    #[must_use]
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.clone()
    }

    /// The spans in it.
    ///
    /// # Panics
    /// When something arrived that holds no spans.
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
                        trace: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent: hex(&span.parent_span_id),
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
    answers: bool,
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
        if !answers {
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
