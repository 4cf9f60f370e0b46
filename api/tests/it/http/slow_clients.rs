//! Clients that send too much or too slowly: they use bounded memory and do not delay others.

use latchkey_testing::Process;
use reqwest::Method;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{Duration, sleep},
};

use crate::{
    http::{read_response, read_status, read_until_closed},
    support::{
        dashboard::Dashboard,
        test_app::{TestApp, registration},
    },
};

const HEAD: &str =
    "POST /api/register/ HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/json\r\n";

/// Starts a server with the shortest timeouts.
async fn serve(app: &mut TestApp) -> Process {
    app.set("REQUEST_SECONDS", "1");
    app.set("KEEP_ALIVE_SECONDS", "1");
    app.serve().await
}

/// Sends a piece now and then until the server closes the connection. Returns the response.
async fn trickle(app: &TestApp, head: &str, piece: &str) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let piece = piece.to_owned();
    let sending = tokio::spawn(async move {
        while writer.write_all(piece.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let answer = read_until_closed(&mut reader).await;
    sending.abort();
    answer
}

/// C2: a client that takes too long for its body learns why it was disconnected.
#[tokio::test]
async fn slow_body_returns_408_problem() {
    let mut app = TestApp::new().await;
    let _process = serve(&mut app).await;

    for (length, piece) in [
        ("Content-Length: 100000", " "),
        ("Transfer-Encoding: chunked", "1\r\n \r\n"),
    ] {
        let answer = trickle(&app, &format!("{HEAD}{length}\r\n\r\n"), piece).await;

        assert!(answer.starts_with("HTTP/1.1 408"), "{length}: {answer}");
        assert!(
            answer.contains("/problems/body-too-slow"),
            "{length}: {answer}"
        );
    }
}

/// C2: clients that never finish a request head are disconnected (Slowloris).
#[tokio::test]
async fn slow_request_head_times_out() {
    let mut app = TestApp::new().await;
    let _process = serve(&mut app).await;

    for (head, piece) in [
        (HEAD, "X-A: b\r\n"),
        ("", "G"),
        ("GET /docs HTTP/1.1\r\nX-A: ", "b"),
    ] {
        let answer = trickle(&app, head, piece).await;

        assert!(!answer.starts_with("HTTP/1.1 200"), "{head}: {answer}");
    }
}

/// C2: a login succeeds while 300 slow clients are connected.
#[tokio::test]
async fn slow_clients_do_not_delay_others() {
    let mut app = TestApp::new().await;
    let _process = serve(&mut app).await;
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let start = match number % 3 {
            0 => HEAD.to_owned(),
            1 => format!("{HEAD}Content-Length: 1000\r\n\r\n{{"),
            _ => String::new(),
        };
        stream.write_all(start.as_bytes()).await.unwrap();
        slow.push(stream);
    }

    app.logged_in_user("ada@example.com").await;

    // Clients that have sent something are disconnected. Silent ones cost only a file descriptor for a while.
    for (number, stream) in slow.iter_mut().enumerate() {
        if number % 3 < 2 {
            read_until_closed(stream).await;
        }
    }
}

/// C2: the server does not store a body of 100 MB, whether or not its length is declared.
#[tokio::test]
async fn body_of_100_mb_uses_little_memory() {
    let mut app = TestApp::new().await;
    let process = serve(&mut app).await;
    app.logged_in_user("ada@example.com").await;
    let before = process.peak_memory();

    for (length, before_block, after_block) in [
        ("Content-Length: 104857600", "", ""),
        ("Transfer-Encoding: chunked", "10000\r\n", "\r\n"),
    ] {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("{HEAD}{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let sending = tokio::spawn(async move {
            let block = vec![b' '; 0x10000];
            for _ in 0..1_600 {
                writer.write_all(before_block.as_bytes()).await?;
                writer.write_all(&block).await?;
                writer.write_all(after_block.as_bytes()).await?;
            }
            std::io::Result::Ok(())
        });
        assert_eq!(read_status(&mut reader).await, "HTTP/1.1 413");
        sending.abort();
    }

    let more = process.peak_memory() - before;
    assert!(more < 48 * 1024, "{more} KiB more");
}

/// Sends a large body without its end. Returns the response.
async fn send_unfinished(address: String, client: String, length: usize) -> String {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "{HEAD}X-Forwarded-For: {client}\r\nContent-Length: {length}\r\n\r\n{{\"image\":\""
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let block = vec![b'A'; 0x10000];
        for _ in 0..(length - 10) / block.len() {
            writer.write_all(&block).await?;
        }
        // Keeps the connection open.
        std::io::Result::Ok(writer)
    });
    let answer = read_until_closed(&mut reader).await;
    sending.abort();
    answer
}

/// C2: clients beyond the body memory budget are asked to retry later. 120 clients of 60 networks send 8 MiB each, 960 MiB in
/// total, and none finishes. Clients with small bodies are served at the same time.
#[tokio::test]
async fn large_bodies_over_memory_budget_return_503() {
    let mut app = TestApp::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.set("REQUEST_SECONDS", "6");
    let process = app.serve().await;
    let address = app.address().to_owned();
    app.logged_in_user("ada@example.com").await;
    let before = process.peak_memory();

    let unfinished: Vec<_> = (0..120)
        .map(|number| {
            let client = format!("10.0.{}.1", number % 60);
            tokio::spawn(send_unfinished(address.clone(), client, 8 * 1024 * 1024))
        })
        .collect();
    app.logged_in_user("eve@example.com").await;
    let answers = futures_util::future::join_all(unfinished).await;

    let refused: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap().as_str())
        .filter(|answer| answer.starts_with("HTTP/1.1 503"))
        .collect();
    assert!(refused.len() > 60, "{} of 120", refused.len());
    for answer in refused {
        assert!(answer.contains("/problems/busy"), "{answer}");
        assert!(
            answer.to_ascii_lowercase().contains("retry-after: "),
            "{answer}"
        );
    }
    let more = process.peak_memory() - before;
    assert!(more < 320 * 1024, "{more} KiB more");
    // The whole budget is available again.
    let answer = send_unfinished(address, "10.0.0.1".to_owned(), 8 * 1024 * 1024).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// C2: slow clients use up the body memory of their own network only.
#[tokio::test]
async fn large_bodies_of_one_network_spare_others() {
    let mut app = TestApp::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let _process = app.serve().await;
    let unfinished: Vec<_> = (0..40)
        .map(|_| {
            let (address, client) = (app.address().to_owned(), "10.0.0.1".to_owned());
            tokio::spawn(send_unfinished(address, client, 8 * 1024 * 1024))
        })
        .collect();

    let mut form = registration("ada@example.com");
    form["image"] = "A".repeat(7 * 1024 * 1024).into();
    let request = app
        .request(Method::POST, "/api/register/")
        .header("x-forwarded-for", "10.0.1.1")
        .json(&form);
    app.send(request).await.assert_problem(400, "invalid-input");

    assert!(unfinished.iter().all(|client| !client.is_finished()));
    unfinished.iter().for_each(JoinHandle::abort);
}

/// C2: only the user page accepts a large form, and only from a signed-in staff member. It can contain a picture.
#[tokio::test]
async fn dashboard_unexpected_large_form_returns_413() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let own = format!("/admin/users/{}/", app.user("root@example.com").await.id);
    let junk = "x".repeat(100_000);

    for (dashboard, path, status) in [
        (&visitor, "/admin/login/", 413),
        (&visitor, own.as_str(), 413),
        (&root, "/admin/account/", 413),
        // The server reads this form. It lacks the version of the account.
        (&root, own.as_str(), 409),
    ] {
        let page = dashboard.post(path, &[("junk", &junk)]).await;
        assert_eq!(page.status, status, "{path}: {page:?}");
    }
}

/// C2: the server does not speak HTTP/2 without TLS, as its many streams would share the timeouts of one connection.
#[tokio::test]
async fn http2_without_tls_is_rejected() {
    let mut app = TestApp::new().await;
    let _process = serve(&mut app).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for piece_size in [preface.len(), 1] {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        for piece in preface.chunks(piece_size) {
            // The server may close the connection before the end.
            if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
        let answer = read_until_closed(&mut stream).await;
        // The server recognizes the preface in one piece. Byte by byte it is an unsupported HTTP version.
        assert!(
            answer.is_empty() || piece_size == 1 && answer.starts_with("HTTP/1.1 400 "),
            "{answer:?}"
        );
    }
    // HTTP/1 methods with the same first letter work.
    for method in ["POST", "PUT", "PROPFIND"] {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let request = format!("{method} /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        for byte in request.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
        }
        let answer = read_response(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{method}: {answer}");
    }
}

/// C1: a rate limited client is refused before it sends its body.
#[tokio::test]
async fn register_rate_limited_is_answered_before_its_body() {
    let mut app = TestApp::with(&[("LIMIT_REGISTER_IP", "1/3600")]).await;
    let _process = app.serve().await;
    app.post("/api/register/", serde_json::json!({})).await;

    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let head = format!("{HEAD}Content-Length: 8000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();

    assert_eq!(read_status(&mut stream).await, "HTTP/1.1 429");
}

/// C2: responses with the same document share one body in memory, however many clients do not read theirs.
#[tokio::test]
async fn slow_readers_of_documents_share_one_body() {
    const COPIES: usize = 48 * 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let logo = folder.path().join("logo.png");
    std::fs::write(
        &logo,
        [&b"\x89PNG\r\n\x1a\n"[..], &vec![0; 200 * 1024]].concat(),
    )
    .unwrap();
    let mut app = TestApp::with(&[
        ("MAX_CONNECTIONS_IP", "1024"),
        ("LOGO_FILE", logo.to_str().unwrap()),
    ])
    .await;
    let process = app.serve().await;
    for path in [
        "/docs",
        "/docs/swagger-ui.js",
        "/openapi.json",
        "/openapi.yaml",
        "/admin/assets/tabler.min.css",
        "/admin/assets/logo",
    ] {
        let response = app.request(Method::GET, path).send().await.unwrap();
        let length = response.bytes().await.unwrap().len();
        let before = process.peak_memory();

        // Each connection requests several documents, as the kernel buffers the first ones.
        let requests = format!("GET {path} HTTP/1.1\r\nHost: latchkey\r\n\r\n").repeat(8);
        let mut readers = Vec::new();
        for _ in 0..COPIES.div_ceil(length) {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(1_024).unwrap();
            let mut reader = socket
                .connect(app.address().parse().unwrap())
                .await
                .unwrap();
            reader.write_all(requests.as_bytes()).await.unwrap();
            assert_eq!(read_status(&mut reader).await, "HTTP/1.1 200");
            readers.push(reader);
        }

        let more = process.peak_memory() - before;
        println!("{path}: {more} KiB more for {} readers", readers.len());
        assert!(more < 16 * 1024, "{path}: {more} KiB more");
    }
}
