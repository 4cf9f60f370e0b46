//! Connections: how many there can be, what each costs, and how long one may stand still (C2).

use std::net::SocketAddr;

use latchkey_testing::{PATIENCE, Process};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Duration, interval, timeout},
};

use crate::support::test_app::{TestApp, wait_until};

const GET: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";

fn address(app: &TestApp) -> SocketAddr {
    app.base.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A connection from one of the machine's own addresses.
async fn connect_from(app: &TestApp, client: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(client.parse().unwrap(), 0))
        .unwrap();
    socket.connect(address(app)).await.unwrap()
}

/// A connection whose client takes little at a time.
async fn connect_with_small_buffer(app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(address(app)).await.unwrap()
}

/// Sends a request and reads the head of its answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = vec![0; 15];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .expect("no answer")
        .unwrap();
    String::from_utf8(answer).unwrap()
}

/// Whether the server has closed a connection, orderly or not.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .is_ok()
}

async fn until_open(app: &TestApp, count: u64) {
    wait_until(async || app.metric("latchkey_connections") == count).await;
}

/// C2: for every route alike, as the deadline is the connection's. The answers are many times larger than all buffers.
#[tokio::test]
async fn client_that_reads_nothing_is_disconnected() {
    let app = TestApp::with(&[("WRITE_SECONDS", "1")]).await;
    let mut form = crate::support::test_app::registration("ada@example.com");
    form["image"] = json!(crate::accounts::pictures::data_url(
        &crate::accounts::pictures::png(4, 4)
    ));
    let image = app.post("/api/register/", form).await.text("/image");
    let picture = image.strip_prefix(&app.base).unwrap();
    for (number, path) in ["/openapi.json", "/docs", "/nope", picture]
        .into_iter()
        .enumerate()
    {
        let (mut reader, mut writer) = connect_with_small_buffer(&app).await.into_split();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(100);
        let asking =
            tokio::spawn(
                async move { while writer.write_all(request.as_bytes()).await.is_ok() {} },
            );

        let stalled = number as u64 + 1;
        wait_until(async || app.metric("latchkey_connections_stalled_total") == stalled).await;

        // What the kernels have of it is still to be had, and then nothing more.
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, reader.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{path}: still open");
        asking.await.unwrap();
    }
}

/// A long answer takes as long as it takes, as long as its client reads. With the deadline for the whole of it, or none for
/// progress, this client would be disconnected.
#[tokio::test]
async fn slow_reader_gets_the_whole_response() {
    let app = TestApp::with(&[("WRITE_SECONDS", "1")]).await;
    let (mut reader, mut writer) = connect_with_small_buffer(&app).await.into_split();
    let request = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n";
    let requests = format!("{request}\r\n").repeat(31) + request + "Connection: close\r\n\r\n";
    let asking = tokio::spawn(async move {
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

    drop(asking.await.unwrap());
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 32);
    assert!(answers.ends_with("}\n"));
    assert_eq!(app.metric("latchkey_connections_stalled_total"), 0);
}

#[tokio::test]
async fn connection_over_client_ip_limit_is_closed() {
    let app = TestApp::with(&[("MAX_CONNECTIONS_IP", "3"), ("MAX_CONNECTIONS", "5")]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect_from(&app, "127.0.0.1").await);
    }
    until_open(&app, 3).await;

    for number in 1..=20 {
        let mut refused = connect_from(&app, "127.0.0.1").await;
        assert!(is_closed(&mut refused).await);
        assert_eq!(app.metric("latchkey_connections_refused_total"), number);
    }

    let mut other = connect_from(&app, "127.0.0.2").await;
    assert_eq!(ask(&mut other).await, "HTTP/1.1 200 OK");
    drop(held.pop());
    until_open(&app, 3).await;
    let mut again = connect_from(&app, "127.0.0.1").await;
    assert_eq!(ask(&mut again).await, "HTTP/1.1 200 OK");
}

/// All clients of a proxy come from one address.
#[tokio::test]
async fn trusted_proxy_has_only_the_total_limit() {
    let app = TestApp::with(&[
        ("MAX_CONNECTIONS_IP", "1"),
        ("MAX_CONNECTIONS", "4"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connect_from(&app, "127.0.0.1").await;
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
        held.push(stream);
    }
    assert_eq!(app.metric("latchkey_connections"), 4);
    assert_eq!(app.metric("latchkey_connections_refused_total"), 0);
}

#[tokio::test]
async fn connection_over_total_limit_waits_in_backlog() {
    let app = TestApp::with(&[("MAX_CONNECTIONS", "2"), ("MAX_CONNECTIONS_IP", "2")]).await;
    let mut held = vec![
        connect_from(&app, "127.0.0.1").await,
        connect_from(&app, "127.0.0.1").await,
    ];
    until_open(&app, 2).await;
    assert_eq!(app.metric("latchkey_connections_limit"), 2);

    let mut waiting = connect_from(&app, "127.0.0.1").await;
    waiting.write_all(GET.as_bytes()).await.unwrap();
    // Those that are open are served meanwhile.
    for stream in &mut held {
        for _ in 0..3 {
            assert_eq!(ask(stream).await, "HTTP/1.1 200 OK");
            let mut rest = vec![0; 4_096];
            assert!(stream.read(&mut rest).await.unwrap() > 0);
        }
    }
    assert_eq!(app.metric("latchkey_connections"), 2);
    let nothing = waiting.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);

    drop(held.pop());
    let mut answer = vec![0; 15];
    let answered = timeout(PATIENCE, waiting.read_exact(&mut answer)).await;
    answered.expect("it waits for ever").unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
}

/// C2: what `deploy/docs/security.md` states. Each connection has an unfinished head of almost the maximum.
#[tokio::test]
async fn unfinished_head_costs_at_most_64_kib() {
    const CONNECTIONS: u64 = 500;
    let mut app = TestApp::with(&[("KEEP_ALIVE_SECONDS", "5")]).await;
    let process = serve(&mut app).await;
    let mut warm = connect_from(&app, "127.0.0.1").await;
    assert_eq!(ask(&mut warm).await, "HTTP/1.1 200 OK");
    let before = process.most_memory();

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
    // The server has read all that was sent when it gives up on them.
    for stream in &mut streams {
        assert!(is_closed(stream).await);
    }

    let more = process.most_memory() - before;
    println!("{} KiB a connection", more / CONNECTIONS);
    assert!(more < CONNECTIONS * 64, "{more} KiB for {CONNECTIONS}");
}

/// C2: however its bytes arrive.
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
        // Those that do not end, too.
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

/// Sends a request and returns what comes back until the server closes the connection.
async fn send_in_pieces(app: &TestApp, request: &str, piece: usize) -> String {
    let mut stream = TcpStream::connect(address(app)).await.unwrap();
    for piece in request.as_bytes().chunks(piece) {
        // It may be over before all is sent.
        let _ = stream.write_all(piece).await;
    }
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "still open");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The server as a program.
async fn serve(app: &mut TestApp) -> Process {
    app.variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let process = app.process(&["serve"]);
    listening(app, process).await
}

async fn listening(app: &mut TestApp, mut process: Process) -> Process {
    app.base = process.wait_for_url("Listening on").await;
    process
}

/// The server under a limit of open files, as `ulimit` sets it.
async fn serve_with_files(app: &mut TestApp, ulimit: &str) -> Process {
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("MAX_CONNECTIONS", "500"),
        ("MAX_CONNECTIONS_IP", "500"),
    ] {
        app.variables.insert(key.to_owned(), value.to_owned());
    }
    let program = env!("CARGO_BIN_EXE_latchkey-api");
    let script = format!("ulimit {ulimit} && exec {program} serve");
    let process = Process::spawn("sh", &["-c", &script], &app.variables);
    listening(app, process).await
}

#[tokio::test]
async fn soft_file_limit_is_raised_for_max_connections() {
    let mut app = TestApp::new().await;
    let process = serve_with_files(&mut app, "-Sn 100").await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(connect_from(&app, "127.0.0.1").await);
    }

    assert_eq!(ask(held.last_mut().unwrap()).await, "HTTP/1.1 200 OK");
    let lines = process.lines().join("\n");
    assert!(lines.contains("files=756"), "{lines}");
    assert!(!lines.contains("could not be accepted"), "{lines}");
}

#[tokio::test]
async fn max_connections_over_hard_file_limit_is_lowered() {
    let mut app = TestApp::new().await;
    let process = serve_with_files(&mut app, "-n 300").await;
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(connect_from(&app, "127.0.0.1").await);
    }

    assert_eq!(ask(&mut held[0]).await, "HTTP/1.1 200 OK");
    let lines = process.lines().join("\n");
    assert!(lines.contains("MAX_CONNECTIONS is more"), "{lines}");
    assert!(lines.contains("connections=44"), "{lines}");
    assert!(!lines.contains("could not be accepted"), "{lines}");
}

/// A request that has begun is answered after the signal, and its connection ends; one that does not go on is cut off.
#[tokio::test]
async fn shutdown_finishes_active_requests_and_drops_stalled_ones() {
    let mut app = TestApp::with(&[("SHUTDOWN_SECONDS", "5")]).await;
    let mut process = serve(&mut app).await;
    let body = r#"{"email":"a@example.com"}"#;
    let head = format!(
        "POST /api/login/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = connect_from(&app, "127.0.0.1").await;
        // An answer, so that the server has the connection, and then a request without its body.
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
        let mut rest = vec![0; 4_096];
        assert!(stream.read(&mut rest).await.unwrap() > 0);
        stream
            .write_all(format!("{head}{{").as_bytes())
            .await
            .unwrap();
        streams.push(stream);
    }
    let mut idle = connect_from(&app, "127.0.0.1").await;
    assert_eq!(ask(&mut idle).await, "HTTP/1.1 200 OK");

    process.terminate().await;
    assert!(is_closed(&mut idle).await);
    streams[0].write_all(&body.as_bytes()[1..]).await.unwrap();
    let mut answer = String::new();
    streams[0].read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(is_closed(&mut streams[1]).await);
    assert_eq!(process.exit().await.code(), Some(0));
    let lines = process.lines().join("\n");
    assert!(lines.contains("cut off"), "{lines}");
}

/// RFC 9112, 9.6: a server that closes while its client still sends resets the connection, and its answer may be lost.
#[tokio::test]
async fn unread_body_response_reaches_the_client() {
    let app = TestApp::new().await;
    let piece = vec![b' '; 0x10000];
    for path in ["/nope", "/health/live"] {
        let mut stream = TcpStream::connect(address(&app)).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&piece).await.unwrap();
        timeout(PATIENCE, stream.readable())
            .await
            .expect("no answer")
            .unwrap();

        // It goes on sending after the answer, as clients do that only look at it in the end.
        for _ in 0..20 {
            stream.write_all(&piece).await.unwrap();
        }

        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.expect("still open").unwrap();
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}
