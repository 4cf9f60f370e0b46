//! The head of a request: its `Host`, its size and its framing.

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{http::read_until_closed, support::test_app::TestApp};

/// Sends a request. Returns everything that the server sends until it closes the connection.
async fn exchange(app: &TestApp, request: &str) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until_closed(&mut stream).await
}

/// Returns a request for `/health/live` with these additional header lines.
fn get(fields: &str) -> String {
    format!("GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

async fn expect_ok(app: &TestApp, request: &str) {
    let answer = exchange(app, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
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

/// A3: no proxy and the server can disagree about the host of a request (RFC 9112, section 3.2).
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
        let answer = exchange(&app, &request).await;
        let answer = answer.replacen("HTTP/1.0", "HTTP/1.1", 1);
        assert_problem(&answer, 400, "invalid-host");
    }
}

/// Health checks over HTTP/1.0 work, as HAProxy sends them. HTTP/1.0 has no `Host`.
#[tokio::test]
async fn http_1_0_request_without_host_is_served() {
    let app = TestApp::new().await;
    let answer = exchange(&app, "GET /health/live HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

/// A3: a client learns that its URL is too long.
#[tokio::test]
async fn uri_over_8_kib_returns_414() {
    let app = TestApp::new().await;
    let get = |length: usize| {
        let query = "a".repeat(length - "/health/live?".len());
        format!("GET /health/live?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };

    expect_ok(&app, &get(8_192)).await;
    for length in [8_193, 16_384, 30_000] {
        let answer = exchange(&app, &get(length)).await;
        assert_problem(&answer, 414, "uri-too-long");
    }
}

/// A3: a client learns that its header is too large.
#[tokio::test]
async fn header_over_16_kib_returns_431() {
    let app = TestApp::new().await;
    let header = |bytes: usize| {
        // The size includes each field's colon, blank and line end.
        let value = "b".repeat(bytes - "Host: a\r\nConnection: close\r\nX-A: \r\n".len());
        get(&format!("X-A: {value}\r\n"))
    };

    expect_ok(&app, &header(16_384)).await;
    for bytes in [16_385, 30_000] {
        let answer = exchange(&app, &header(bytes)).await;
        assert_problem(&answer, 431, "header-too-large");
    }
}

/// A3: a client learns that it sends too many header fields.
#[tokio::test]
async fn more_than_64_header_fields_return_431() {
    let app = TestApp::new().await;
    let header = |fields: usize| get(&"X-A: b\r\n".repeat(fields - 2));

    expect_ok(&app, &header(64)).await;
    // The head with 3,000 fields nearly fills the buffer.
    for fields in [65, 100, 101, 3_000] {
        let answer = exchange(&app, &header(fields)).await;
        assert_problem(&answer, 431, "header-too-large");
    }
}

/// A3: the largest possible number of fields is rejected too. The shortest field has three bytes, as a bare line feed can end a
/// line (RFC 9112, section 2.2).
#[tokio::test]
async fn maximum_header_fields_return_431() {
    let app = TestApp::new().await;
    let more = "a:\n".repeat(10_800);
    let get = format!("GET /health/live HTTP/1.1\nHost: a\nConnection: close\n{more}\n");

    let answer = exchange(&app, &get).await;

    assert_problem(&answer, 431, "header-too-large");
}

/// A3: no request is smuggled past a proxy. With two declared lengths, a proxy may have chosen the other one, and the following
/// bytes may belong to another client (RFC 9112, section 6.1). The server does not read them.
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
