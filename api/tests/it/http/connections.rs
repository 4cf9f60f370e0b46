//! Connections: their number, their memory and their timeouts (C2).

use std::net::SocketAddr;

use latchkey_testing::{Process, WAIT_TIMEOUT, wait_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Duration, interval, timeout},
};

use crate::{
    http::{read_response, read_until_closed, register_with_picture},
    support::test_app::TestApp,
};

const GET: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";

/// Connects from a loopback address.
async fn connect_from(app: &TestApp, client_ip: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(client_ip.parse().unwrap(), 0))
        .unwrap();
    socket
        .connect(app.address().parse().unwrap())
        .await
        .unwrap()
}

/// Connects with a small receive buffer.
async fn connect_with_small_buffer(app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket
        .connect(app.address().parse().unwrap())
        .await
        .unwrap()
}

async fn connect_many(app: &TestApp, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(connect_from(app, "127.0.0.1").await);
    }
    streams
}

async fn expect_ok(stream: &mut TcpStream) {
    let mut answer = [0; 15];
    let read = timeout(WAIT_TIMEOUT, stream.read_exact(&mut answer)).await;
    read.expect("no response").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

/// Sends a request and checks the status of the response.
async fn get(stream: &mut TcpStream) {
    stream.write_all(GET.as_bytes()).await.unwrap();
    expect_ok(stream).await;
}

/// Sends a request and reads the response, so that the connection can be used again.
async fn get_all(stream: &mut TcpStream) {
    get(stream).await;
    assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
}

async fn until_open(app: &TestApp, count: u64) {
    wait_until(async || app.metric("latchkey_connections") == count).await;
}

/// C2: a client cannot keep a connection by reading nothing, whatever the route. The responses exceed all buffers.
#[tokio::test]
async fn client_that_reads_nothing_is_disconnected() {
    let app = TestApp::with(&[("WRITE_SECONDS", "1")]).await;
    let picture = register_with_picture(&app, "ada@example.com").await;
    for (number, path) in ["/openapi.json", "/docs", "/nope", &picture]
        .into_iter()
        .enumerate()
    {
        let (mut reader, mut writer) = connect_with_small_buffer(&app).await.into_split();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(100);
        let sending =
            tokio::spawn(
                async move { while writer.write_all(request.as_bytes()).await.is_ok() {} },
            );

        let stalled = number as u64 + 1;
        wait_until(async || app.metric("latchkey_connections_stalled_total") == stalled).await;

        // The client can still read what the kernel has buffered.
        read_until_closed(&mut reader).await;
        sending.await.unwrap();
    }
}

/// C2: a slow client gets a long response as long as it keeps reading. The timeout applies to each write, not to the whole.
#[tokio::test]
async fn slow_reader_gets_the_whole_response() {
    let app = TestApp::with(&[("WRITE_SECONDS", "1")]).await;
    let (mut reader, mut writer) = connect_with_small_buffer(&app).await.into_split();
    let request = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n";
    let requests = format!("{request}\r\n").repeat(31) + request + "Connection: close\r\n\r\n";
    let sending = tokio::spawn(async move {
        writer.write_all(requests.as_bytes()).await.unwrap();
        writer
    });

    let mut answers = Vec::new();
    let mut pause = interval(Duration::from_millis(20));
    loop {
        pause.tick().await;
        let mut piece = vec![0; 0x10000];
        let length = reader.read(&mut piece).await.unwrap();
        if length == 0 {
            break;
        }
        answers.extend_from_slice(&piece[..length]);
    }

    drop(sending.await.unwrap());
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 32);
    assert!(answers.ends_with("}\n"));
    assert_eq!(app.metric("latchkey_connections_stalled_total"), 0);
}

/// C2: one client cannot use the connections of others.
#[tokio::test]
async fn connection_over_client_ip_limit_is_closed() {
    let app = TestApp::with(&[("MAX_CONNECTIONS_IP", "3"), ("MAX_CONNECTIONS", "5")]).await;
    let mut open = connect_many(&app, 3).await;
    until_open(&app, 3).await;

    for number in 1..=20 {
        let mut refused = connect_from(&app, "127.0.0.1").await;
        read_until_closed(&mut refused).await;
        assert_eq!(app.metric("latchkey_connections_refused_total"), number);
    }

    let mut other = connect_from(&app, "127.0.0.2").await;
    get(&mut other).await;
    drop(open.pop());
    until_open(&app, 3).await;
    let mut again = connect_from(&app, "127.0.0.1").await;
    get(&mut again).await;
}

/// C2: the limit per client IP does not apply to a trusted proxy, from which all clients connect.
#[tokio::test]
async fn trusted_proxy_has_only_the_total_limit() {
    let app = TestApp::with(&[
        ("MAX_CONNECTIONS_IP", "1"),
        ("MAX_CONNECTIONS", "4"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let mut open = connect_many(&app, 4).await;
    for stream in &mut open {
        get(stream).await;
    }
    assert_eq!(app.metric("latchkey_connections"), 4);
    assert_eq!(app.metric("latchkey_connections_refused_total"), 0);
}

/// C2: a connection over the total limit is served when another one ends.
#[tokio::test]
async fn connection_over_total_limit_waits_in_backlog() {
    let app = TestApp::with(&[("MAX_CONNECTIONS", "2"), ("MAX_CONNECTIONS_IP", "2")]).await;
    let mut open = connect_many(&app, 2).await;
    until_open(&app, 2).await;
    assert_eq!(app.metric("latchkey_connections_limit"), 2);

    let mut waiting = connect_from(&app, "127.0.0.1").await;
    waiting.write_all(GET.as_bytes()).await.unwrap();
    for stream in &mut open {
        for _ in 0..3 {
            get_all(stream).await;
        }
    }
    assert_eq!(app.metric("latchkey_connections"), 2);
    let nothing = waiting.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);

    drop(open.pop());
    expect_ok(&mut waiting).await;
}

/// C2: the bound that `deploy/docs/security.md` states. Each connection sends an unfinished head of almost the maximum size.
#[tokio::test]
async fn unfinished_head_costs_at_most_64_kib() {
    const CONNECTIONS: u64 = 500;
    let mut app = TestApp::with(&[("KEEP_ALIVE_SECONDS", "5")]).await;
    let process = app.serve().await;
    let mut warm = connect_from(&app, "127.0.0.1").await;
    get(&mut warm).await;
    let before = process.peak_memory();

    let head = format!(
        "GET /health/live HTTP/1.1\r\nHost: a\r\nX-A: {}",
        "b".repeat(32_000)
    );
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connect_from(&app, "127.0.0.1").await;
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    // When the server closes a connection, it has read the whole head.
    for stream in &mut streams {
        read_until_closed(stream).await;
    }

    let more = process.peak_memory() - before;
    println!("{} KiB a connection", more / CONNECTIONS);
    assert!(more < CONNECTIONS * 64, "{more} KiB for {CONNECTIONS}");
}

/// C2: a client cannot send a head of any size, in one piece or in several.
#[tokio::test]
async fn head_over_32_kib_returns_431() {
    const MAX: usize = 32 * 1024;
    let app = TestApp::new().await;
    let end = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let target = |bytes: usize| format!("GET /{}{end}", "a".repeat(bytes - 5 - end.len()));
    let field = format!("GET / HTTP/1.1\r\nX-A: {}", "b".repeat(40_000));
    let fields = format!("GET / HTTP/1.1\r\n{}", "X-A: b\r\n".repeat(5_000));
    for (head, status) in [
        (target(MAX), "414"),
        (target(MAX + 1), "431"),
        (target(40_000), "431"),
        (format!("{field}\r\n\r\n"), "431"),
        (format!("{fields}\r\n"), "431"),
        // Unfinished heads.
        (field, "431"),
        (fields, "431"),
    ] {
        for piece in [head.len(), 1_000] {
            let answer = send_in_pieces(&app, &head, piece).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{}: {answer}", head.len());
        }
    }
}

/// Sends a request in pieces. Returns all responses.
async fn send_in_pieces(app: &TestApp, request: &str, piece: usize) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    for piece in request.as_bytes().chunks(piece) {
        // The server may close the connection before the end.
        let _ = stream.write_all(piece).await;
    }
    read_until_closed(&mut stream).await
}

/// Starts the server with a limit of open files.
async fn serve_with_ulimit(app: &mut TestApp, ulimit: &str) -> Process {
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("MAX_CONNECTIONS", "500"),
        ("MAX_CONNECTIONS_IP", "500"),
    ] {
        app.set(key, value);
    }
    let program = env!("CARGO_BIN_EXE_latchkey-api");
    let script = format!("ulimit {ulimit} && exec {program} serve");
    let process = Process::spawn("sh", &["-c", &script], &app.variables);
    app.send_to(process).await
}

/// C2: the default limit of open files does not limit the connections.
#[tokio::test]
async fn soft_file_limit_is_raised_for_max_connections() {
    let mut app = TestApp::new().await;
    let process = serve_with_ulimit(&mut app, "-Sn 100").await;
    let mut open = connect_many(&app, 300).await;

    get(open.last_mut().unwrap()).await;
    let lines = process.lines().join("\n");
    assert!(lines.contains("files=756"), "{lines}");
    assert!(!lines.contains("Accepting a connection failed"), "{lines}");
}

/// C2: a server that may open few files accepts fewer connections and logs a warning, instead of failing to accept.
#[tokio::test]
async fn max_connections_over_hard_file_limit_is_lowered() {
    let mut app = TestApp::new().await;
    let process = serve_with_ulimit(&mut app, "-n 300").await;
    let mut open = connect_many(&app, 60).await;

    get(&mut open[0]).await;
    let lines = process.lines().join("\n");
    assert!(lines.contains("MAX_CONNECTIONS was lowered"), "{lines}");
    assert!(lines.contains("connections=44"), "{lines}");
    assert!(!lines.contains("Accepting a connection failed"), "{lines}");
}

/// C2: after SIGTERM, a client that completes its request gets a response. Stalled and idle connections are closed.
#[tokio::test]
async fn shutdown_finishes_active_requests_and_drops_stalled_ones() {
    let mut app = TestApp::with(&[("SHUTDOWN_SECONDS", "5")]).await;
    let mut process = app.serve().await;
    let body = r#"{"email":"a@example.com"}"#;
    let head = format!(
        "POST /api/login/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut streams = connect_many(&app, 2).await;
    for stream in &mut streams {
        // The response shows that the server has accepted the connection. The second request lacks most of its body.
        get_all(stream).await;
        let start = format!("{head}{{");
        stream.write_all(start.as_bytes()).await.unwrap();
    }
    let mut idle = connect_from(&app, "127.0.0.1").await;
    get(&mut idle).await;

    process.terminate().await;
    read_until_closed(&mut idle).await;
    streams[0].write_all(&body.as_bytes()[1..]).await.unwrap();
    let answer = read_response(&mut streams[0]).await;

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    read_until_closed(&mut streams[1]).await;
    assert_eq!(process.exit().await.code(), Some(0));
    let lines = process.lines().join("\n");
    assert!(lines.contains("Connections aborted"), "{lines}");
}

/// C2: a client that is still sending its body gets the response. A server that closes at once would reset the connection, and
/// the response could be lost (RFC 9112, section 9.6).
#[tokio::test]
async fn unread_body_response_reaches_the_client() {
    let app = TestApp::new().await;
    let piece = vec![b' '; 0x10000];
    for path in ["/nope", "/health/live"] {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&piece).await.unwrap();
        let readable = timeout(WAIT_TIMEOUT, stream.readable()).await;
        readable.expect("no response").unwrap();

        // Like many clients, it sends the body to its end before it reads the response.
        for _ in 0..20 {
            stream.write_all(&piece).await.unwrap();
        }

        let answer = read_response(&mut stream).await;
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}
