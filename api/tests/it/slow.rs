//! Clients that send too much, or too slowly: the memory is bounded, and nobody else waits.

use latchkey_testing::{PATIENCE, Process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, sleep, timeout},
};

use crate::world::World;

const HEAD: &str =
    "POST /api/register/ HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/json\r\n";

/// A server that is as patient as a test can be.
async fn serve(world: &mut World) -> (Process, String) {
    for (key, value) in [("BIND", "127.0.0.1:0"), ("REQUEST_SECONDS", "1")] {
        world.variables.insert(key.to_owned(), value.to_owned());
    }
    let mut process = world.process(&["serve"]);
    let line = process.wait_for_line("Latchkey serves.").await;
    let address = line.rsplit("address=").next().unwrap().trim().to_owned();
    world.base = format!("http://{address}");
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
async fn a_slow_body_is_a_408_problem() {
    let mut world = World::new().await;
    let (_process, address) = serve(&mut world).await;

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
async fn a_slow_head_is_listened_to_for_a_while_only() {
    let mut world = World::new().await;
    let (_process, address) = serve(&mut world).await;

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
async fn slow_clients_keep_nobody_waiting() {
    let mut world = World::new().await;
    let (_process, address) = serve(&mut world).await;
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

    world.somebody("ada@example.com").await;

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
async fn a_hundred_megabytes_cost_no_memory_to_speak_of() {
    let mut world = World::new().await;
    let (process, address) = serve(&mut world).await;
    world.somebody("ada@example.com").await;
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
