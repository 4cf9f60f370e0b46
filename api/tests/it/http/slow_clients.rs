//! Clients that send too much, or too slowly: the memory is bounded, and nobody else waits.

use latchkey_testing::{PATIENCE, Process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Duration, sleep, timeout},
};

use crate::{support::dashboard::Dashboard, support::test_app::TestApp};

const HEAD: &str =
    "POST /api/register/ HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/json\r\n";

/// A server that is as patient as a test can be.
async fn serve(app: &mut TestApp) -> (Process, String) {
    for key in ["REQUEST_SECONDS", "KEEP_ALIVE_SECONDS"] {
        app.variables.insert(key.to_owned(), "1".to_owned());
    }
    serve_as_it_is(app).await
}

/// A server as the app's variables have it.
pub(crate) async fn serve_as_it_is(app: &mut TestApp) -> (Process, String) {
    app.variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let mut process = app.process(&["serve"]);
    app.base = process.wait_for_url("Listening on").await;
    let address = app.base["http://".len()..].to_owned();
    (process, address)
}

/// Sends a byte now and then until the connection ends; what came back.
async fn trickle(address: &str, head: &str, drop: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drop = drop.to_owned();
    let trickling = tokio::spawn(async move {
        while writer.write_all(drop.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    // A connection that is reset has come to its end, too.
    let ended = timeout(PATIENCE, reader.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it was listened to for ever");
    trickling.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn slow_body_returns_408_problem() {
    let mut app = TestApp::new().await;
    let (_process, address) = serve(&mut app).await;

    for length in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let drop = if length.contains("chunked") {
            "1\r\n \r\n"
        } else {
            " "
        };
        let answer = trickle(&address, &format!("{HEAD}{length}\r\n\r\n"), drop).await;

        assert!(answer.starts_with("HTTP/1.1 408"), "{length}: {answer}");
        assert!(
            answer.contains("/problems/body-too-slow"),
            "{length}: {answer}"
        );
    }
}

#[tokio::test]
async fn slow_request_head_times_out() {
    let mut app = TestApp::new().await;
    let (_process, address) = serve(&mut app).await;

    for (head, drop) in [
        (HEAD, "X-A: b\r\n"),
        ("", "G"),
        ("GET /docs HTTP/1.1\r\nX-A: ", "b"),
    ] {
        let answer = trickle(&address, head, drop).await;

        assert!(!answer.starts_with("HTTP/1.1 200"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn slow_clients_do_not_delay_others() {
    let mut app = TestApp::new().await;
    let (_process, address) = serve(&mut app).await;
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let said = match number % 3 {
            0 => HEAD.to_owned(),
            1 => format!("{HEAD}Content-Length: 1000\r\n\r\n{{"),
            _ => String::new(),
        };
        stream.write_all(said.as_bytes()).await.unwrap();
        slow.push(stream);
    }

    app.logged_in_user("ada@example.com").await;

    // Those that have said something are sent away; those that are silent cost nothing but a descriptor for a while.
    for (number, stream) in slow.iter_mut().enumerate() {
        if number % 3 < 2 {
            let mut answer = Vec::new();
            let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "connection {number} is still open");
        }
    }
}

/// 100 MB, with their length said and without. What is read of them before the answer is never kept.
#[tokio::test]
async fn body_of_100_mb_uses_little_memory() {
    let mut app = TestApp::new().await;
    let (process, address) = serve(&mut app).await;
    app.logged_in_user("ada@example.com").await;
    let before = process.most_memory();

    for chunked in [false, true] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let length = if chunked {
            "Transfer-Encoding: chunked"
        } else {
            "Content-Length: 104857600"
        };
        let head = format!("{HEAD}{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let sending = tokio::spawn(async move {
            let block = vec![b' '; 0x10000];
            for _ in 0..1_600 {
                if chunked {
                    writer.write_all(b"10000\r\n").await?;
                }
                writer.write_all(&block).await?;
                if chunked {
                    writer.write_all(b"\r\n").await?;
                }
            }
            std::io::Result::Ok(())
        });
        let mut status = [0; 12];
        timeout(PATIENCE, reader.read_exact(&mut status))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&status, b"HTTP/1.1 413");
        sending.abort();
    }

    let more = process.most_memory() - before;
    assert!(more < 48 * 1024, "{more} KiB more");
}

/// A client that sends all of a large body but its end, and hears what comes of it.
async fn hold_back(address: String, client: String, length: usize) -> String {
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
        // Kept open: the end never comes.
        std::io::Result::Ok(writer)
    });
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, reader.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it was listened to for ever");
    sending.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

/// 120 clients of 60 networks send 8 MiB each, 960 MiB together, and none of them ends. Those for whom there is no room
/// are told so, and whoever sends little is served meanwhile.
#[tokio::test]
async fn large_bodies_over_memory_budget_return_503() {
    let mut app = TestApp::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.variables
        .insert("REQUEST_SECONDS".to_owned(), "6".to_owned());
    let (process, address) = serve_as_it_is(&mut app).await;
    app.logged_in_user("ada@example.com").await;
    let before = process.most_memory();

    let held: Vec<_> = (0..120)
        .map(|number| {
            let client = format!("10.0.{}.1", number % 60);
            tokio::spawn(hold_back(address.clone(), client, 8 * 1024 * 1024))
        })
        .collect();
    app.logged_in_user("eve@example.com").await;
    let answers = futures_util::future::join_all(held).await;

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
    let more = process.most_memory() - before;
    assert!(more < 320 * 1024, "{more} KiB more");
    // The room is free again.
    let client = hold_back(address.clone(), "10.0.0.1".to_owned(), 8 * 1024 * 1024).await;
    assert!(client.starts_with("HTTP/1.1 408"), "{client}");
}

/// Whoever sends slowly takes the room of the own network, and of no other.
#[tokio::test]
async fn large_bodies_of_one_network_spare_others() {
    let mut app = TestApp::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (_process, address) = serve_as_it_is(&mut app).await;
    let held: Vec<_> = (0..40)
        .map(|_| {
            let client = "10.0.0.1".to_owned();
            tokio::spawn(hold_back(address.clone(), client, 8 * 1024 * 1024))
        })
        .collect();

    let mut form = crate::support::test_app::registration("ada@example.com");
    form["image"] = "A".repeat(7 * 1024 * 1024).into();
    let request = app
        .request(reqwest::Method::POST, "/api/register/")
        .header("x-forwarded-for", "10.0.1.1")
        .json(&form);
    app.send(request).await.assert_problem(400, "invalid-input");

    assert!(held.iter().all(|held| !held.is_finished()));
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A form has a picture on one page alone, and nobody who is not signed in sends it.
#[tokio::test]
async fn dashboard_unexpected_large_form_returns_413() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let own = format!("/admin/users/{}/", app.user("root@example.com").await.id);
    let junk = "x".repeat(100_000);

    for (browser, path, status) in [
        (&visitor, "/admin/login/", 413),
        (&visitor, own.as_str(), 413),
        (&root, "/admin/account/", 413),
        // It is read, and lacks the version that it was made of.
        (&root, own.as_str(), 409),
    ] {
        let page = browser.post(path, &[("junk", &junk)]).await;
        assert_eq!(page.status, status, "{path}: {page:?}");
    }
}

/// HTTP/2 has no business here, in one piece or byte by byte: it would be many requests in one connection's time.
#[tokio::test]
async fn http2_without_tls_is_rejected() {
    let mut app = TestApp::new().await;
    let (_process, address) = serve(&mut app).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for pieces in [preface.len(), 1] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        for piece in preface.chunks(pieces) {
            // It may be over before all is said.
            if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "it was listened to for ever");
        // In one piece it is known for what it is; byte by byte it is a version that is not spoken.
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || pieces == 1 && answer.starts_with("HTTP/1.1 400 "),
            "{answer:?}"
        );
    }
    // What only begins like it is HTTP/1.
    for method in ["POST", "PUT", "PROPFIND"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!("{method} /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        for byte in request.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{method}: {answer}");
    }
}

/// C1: the answer comes without a byte of the body.
#[tokio::test]
async fn register_rate_limited_is_answered_before_its_body() {
    let mut app = TestApp::with(&[("LIMIT_REGISTER_IP", "1/3600")]).await;
    let (_process, address) = serve_as_it_is(&mut app).await;
    app.post("/api/register/", serde_json::json!({})).await;

    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("{HEAD}Content-Length: 8000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();

    let mut status = [0; 12];
    let read = timeout(PATIENCE, stream.read_exact(&mut status)).await;
    read.unwrap().unwrap();
    assert_eq!(&status, b"HTTP/1.1 429");
}

/// C2: answers that are alike for everyone share one body, however many clients do not read them.
#[tokio::test]
async fn slow_readers_of_documents_share_one_body() {
    const COPIES: usize = 48 * 1024 * 1024;
    let mut app = TestApp::with(&[("MAX_CONNECTIONS_IP", "1024")]).await;
    let (process, address) = serve_as_it_is(&mut app).await;
    for path in ["/docs", "/openapi.json", "/openapi.yaml"] {
        let url = format!("{}{path}", app.base);
        let length = app.http.get(url).send().await.unwrap();
        let length = length.bytes().await.unwrap().len();
        let before = process.most_memory();

        // Several answers on each connection, as the kernel's buffers take the first ones.
        let requests = format!("GET {path} HTTP/1.1\r\nHost: latchkey\r\n\r\n").repeat(8);
        let mut readers = Vec::new();
        for _ in 0..COPIES.div_ceil(length) {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(1_024).unwrap();
            let mut reader = socket.connect(address.parse().unwrap()).await.unwrap();
            reader.write_all(requests.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            let read = timeout(PATIENCE, reader.read_exact(&mut status)).await;
            read.unwrap().unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
            readers.push(reader);
        }

        let more = process.most_memory() - before;
        println!("{path}: {more} KiB more for {} readers", readers.len());
        assert!(more < 16 * 1024, "{path}: {more} KiB more");
    }
}
