//! The head of a request: its `Host`, its size, and where it ends.

use latchkey_testing::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::test_app::TestApp;

/// Sends bytes as they are; all that comes back until the server closes the connection.
async fn exchange(app: &TestApp, request: &str) -> String {
    let address = app.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "still open after {request}");
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn assert_problem(answer: &str, status: u16, name: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains(&format!("/problems/{name}")), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
}

/// RFC 9112, 3.2
#[tokio::test]
async fn request_without_exactly_one_valid_host_returns_400() {
    let app = TestApp::new().await;
    for hosts in [
        "",
        "Host:\r\n",
        "Host: a.example\r\nHost: a.example\r\n",
        "Host: a.example\r\nX-A: b\r\nhost: b.example\r\n",
        "Host: a.example, b.example\r\n",
        "Host: user@a.example\r\n",
        "Host: a.example:port\r\n",
        "Host: a.example/path\r\n",
    ] {
        for method in ["GET", "OPTIONS"] {
            let request =
                format!("{method} /health/live HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            let answer = exchange(&app, &request).await;
            assert_problem(&answer, 400, "invalid-host");
        }
    }
    for hosts in ["Host: a\r\nHost: b\r\n", "Host: a b\r\n"] {
        let request = format!("GET /health/live HTTP/1.0\r\n{hosts}\r\n");
        assert_problem(&exchange_1_0(&app, &request).await, 400, "invalid-host");
    }
}

/// HTTP/1.0 knows no `Host`; HAProxy's and others' health checks are written in it.
#[tokio::test]
async fn http_1_0_request_without_host_is_served() {
    let app = TestApp::new().await;
    let answer = exchange(&app, "GET /health/live HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

/// An answer to HTTP/1.0, with the version of the others.
async fn exchange_1_0(app: &TestApp, request: &str) -> String {
    let answer = exchange(app, request).await;
    answer.replacen("HTTP/1.0", "HTTP/1.1", 1)
}

#[tokio::test]
async fn uri_over_8_kib_returns_414() {
    let app = TestApp::new().await;
    let get = |length: usize| {
        let query = "a".repeat(length - "/health/live?".len());
        format!("GET /health/live?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };

    let longest = exchange(&app, &get(8_192)).await;
    assert!(longest.starts_with("HTTP/1.1 200 "), "{longest}");
    for length in [8_193, 16_384, 30_000] {
        let answer = exchange(&app, &get(length)).await;
        assert_problem(&answer, 414, "uri-too-long");
    }
}

#[tokio::test]
async fn header_over_16_kib_returns_431() {
    let app = TestApp::new().await;
    let get = |bytes: usize| {
        let name = "X-A: ";
        // Each field counts with its colon, blank and line end.
        let value = "b".repeat(bytes - "Host: a\r\nConnection: close\r\nX-A: \r\n".len());
        format!(
            "GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{name}{value}\r\n\r\n"
        )
    };

    let largest = exchange(&app, &get(16_384)).await;
    assert!(largest.starts_with("HTTP/1.1 200 "), "{largest}");
    for bytes in [16_385, 30_000] {
        let answer = exchange(&app, &get(bytes)).await;
        assert_problem(&answer, 431, "header-too-large");
    }
}

#[tokio::test]
async fn more_than_64_header_fields_return_431() {
    let app = TestApp::new().await;
    let get = |fields: usize| {
        let more = "X-A: b\r\n".repeat(fields - 2);
        format!("GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    };

    let most = exchange(&app, &get(64)).await;
    assert!(most.starts_with("HTTP/1.1 200 "), "{most}");
    // With 3,000 the head is nearly as large as the buffer.
    for fields in [65, 100, 101, 3_000] {
        let answer = exchange(&app, &get(fields)).await;
        assert_problem(&answer, 431, "header-too-large");
    }
}

/// The shortest field has three bytes, as a bare line feed ends a line, too (RFC 9112, 2.2).
#[tokio::test]
async fn maximum_header_fields_return_431() {
    let app = TestApp::new().await;
    let more = "a:\n".repeat(10_800);
    let get = format!("GET /health/live HTTP/1.1\nHost: a\nConnection: close\n{more}\n");

    let answer = exchange(&app, &get).await;

    assert_problem(&answer, 431, "header-too-large");
}

/// RFC 9112, 6.1: where a request's length is given in both ways, a proxy in front may have taken the other one, and what
/// follows may be another client's. It is not read.
#[tokio::test]
async fn chunked_request_closes_its_connection() {
    let app = TestApp::new().await;
    let next = "GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let answer = exchange(
            &app,
            &format!(
                "POST /api/login/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lengths}\r\n0\r\n\r\n{next}"
            ),
        )
        .await;
        assert_problem(&answer, 400, "invalid-input");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}
