//! Bounds of pictures: stored avatars are small, and uploads are rate limited.

use std::{fs::File, io::Cursor};

use image::{
    ImageEncoder as _, ImageFormat, RgbImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use latchkey_testing::WAIT_TIMEOUT;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    accounts::pictures::{data_url, png, upload},
    support::test_app::TestApp,
};

/// Rows that repeat after 32,008 bytes, just within the window of a good encoder: some 100 KB for 100 MB of pixels.
fn repeating_rows() -> Vec<u8> {
    let (width, height) = (1_000_u32, 25_000_u32);
    let mut state = 7_u32;
    let block: Vec<u8> = (0..width * 4 * 8)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let pixels = block.repeat(height as usize / 8);
    let mut bytes = Vec::new();
    let color = image::ExtendedColorType::Rgba8;
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter)
        .write_image(&pixels, width, height, color)
        .unwrap();
    bytes
}

fn large_webp() -> Vec<u8> {
    let picture = RgbImage::from_fn(4_000, 2_000, |x, y| {
        image::Rgb([
            x.to_le_bytes()[0],
            y.to_le_bytes()[0],
            (x / 16).to_le_bytes()[0],
        ])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::WebP).unwrap();
    bytes.into_inner()
}

/// C3: A small file with many pixels is stored as a small avatar.
#[tokio::test]
async fn uploaded_picture_is_stored_as_bounded_avatar() {
    let app = TestApp::new().await;
    for (number, bytes) in [repeating_rows(), large_webp()].into_iter().enumerate() {
        let answer = upload(&app, &format!("u{number}@example.com"), bytes).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    let files = app.pictures();
    assert_eq!(files.len(), 2);
    for file in files {
        let length = file.metadata().unwrap().len();
        assert!(length <= 256 * 1024, "{length} bytes");
        let picture = image::open(file).unwrap();
        assert_eq!(picture.width().max(picture.height()), 512);
    }
}

/// Operators set the largest side of stored pictures.
#[tokio::test]
async fn picture_max_size_is_configurable() {
    let app = TestApp::with(&[("PICTURE_MAX_SIZE", "64")]).await;
    upload(&app, "ada@example.com", png(200, 100)).await;
    let picture = image::open(&app.pictures()[0]).unwrap();
    assert_eq!((picture.width(), picture.height()), (64, 32));
}

/// A2: A truncated file is rejected, and no part of it is stored.
#[tokio::test]
async fn truncated_picture_returns_400_and_stores_nothing() {
    let app = TestApp::new().await;
    let mut bytes = Cursor::new(Vec::new());
    let picture = RgbImage::from_pixel(200, 200, image::Rgb([1, 2, 3]));
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    let mut bytes = bytes.into_inner();
    bytes.truncate(bytes.len() - 20);

    let answer = upload(&app, "ada@example.com", bytes).await;

    answer.assert_invalid_field("image", "invalid");
    assert!(app.pictures().is_empty());
}

/// C1: Uploads are rate limited by account and by client IP. Other profile changes are not.
#[tokio::test]
async fn uploads_are_limited_by_account_and_client_ip() {
    let app = TestApp::with(&[
        ("LIMIT_PICTURE_ACCOUNT", "2/3600"),
        ("LIMIT_PICTURE_IP", "3/3600"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let ada = app.logged_in_user("ada@example.com").await;
    app.create_superuser("root@example.com").await;
    let root = app
        .login("root@example.com", crate::support::test_app::PASSWORD)
        .await;
    let id = app.user("ada@example.com").await.id;
    let (own, account) = ("/api/user/".to_owned(), format!("/api/admin/users/{id}/"));
    let patch = |path: &str, access: &str, client_ip: &str| {
        let request = app
            .request(Method::PATCH, path)
            .bearer_auth(access)
            .header("x-forwarded-for", client_ip)
            .json(&json!({"image": data_url(&png(4, 4))}));
        app.send(request)
    };

    // The limit by account comes first, then the limit by client IP.
    for (path, tokens, client_ip, status) in [
        (&own, &ada, "192.0.2.1", 200),
        (&own, &ada, "192.0.2.1", 200),
        (&own, &ada, "192.0.2.2", 429),
        (&account, &root, "192.0.2.1", 200),
        (&account, &root, "192.0.2.1", 429),
        (&account, &root, "192.0.2.3", 200),
        (&account, &root, "192.0.2.3", 429),
    ] {
        let answer = patch(path, &tokens.access, client_ip).await;
        assert_eq!(answer.status, status, "{path} {client_ip}: {answer:?}");
    }
    let mut form = crate::support::test_app::registration("eve@example.com");
    form["image"] = data_url(&png(4, 4)).into();
    let request = app
        .request(Method::POST, "/api/register/")
        .header("x-forwarded-for", "192.0.2.1")
        .json(&form);
    let answer = app.send(request).await;
    answer.assert_problem(429, "too-many-requests");
    // Other profile changes still succeed.
    let answer = app
        .patch_user(&ada.access, json!({"username": "Ada L."}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.pictures().len(), 1);
}

/// A6: Browsers may cache pictures, as the only exception from `no-store`.
#[tokio::test]
async fn picture_is_cached_and_revalidated_by_etag() {
    let app = TestApp::new().await;
    let answer = upload(&app, "ada@example.com", png(40, 40)).await;
    let url = answer.text("/image");
    let name = url.rsplit('/').next().unwrap();
    let get = |method: Method, known: Option<String>| {
        let mut request = app.http.request(method, &url);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        request.send()
    };

    let whole = get(Method::GET, None).await.unwrap();
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{name}\""));
    let cached = "private, max-age=31536000, immutable";
    assert_eq!(whole.headers()["cache-control"], cached);
    let length = whole.headers()["content-length"].clone();
    let bytes = whole.bytes().await.unwrap();
    assert_eq!(length.to_str().unwrap(), bytes.len().to_string());
    let head = get(Method::HEAD, None).await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], length);
    for (known, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"other\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
    ] {
        let answer = get(Method::GET, Some(known.clone())).await.unwrap();
        assert_eq!(answer.status(), status, "{known}");
        assert_eq!(answer.headers()["etag"], tag.as_str());
        assert_eq!(answer.headers()["cache-control"], cached);
    }
    let gone = app.request(Method::GET, &format!("/media/{}.png", "0".repeat(32)));
    let gone = app.send(gone.header("if-none-match", "*")).await;
    gone.assert_problem(404, "not-found");
    assert_eq!(gone.headers["cache-control"], "no-store");
}

/// C1: a refused picture costs as much to receive and to parse as an accepted one.
#[tokio::test]
async fn large_bodies_count_once_against_upload_limits() {
    let app = TestApp::with(&[("LIMIT_PICTURE_ACCOUNT", "2/3600")]).await;
    for (email, padding, is_accepted) in [
        (
            "ada@example.com",
            [png(4, 4), vec![0; 100_000]].concat(),
            true,
        ),
        ("eve@example.com", vec![0; 100_000], false),
    ] {
        let tokens = app.logged_in_user(email).await;
        let picture = json!({"image": data_url(&padding)});
        for status in [if is_accepted { 200 } else { 400 }; 2]
            .into_iter()
            .chain([429])
        {
            let answer = app.patch_user(&tokens.access, picture.clone()).await;
            assert_eq!(answer.status, status, "{email}: {answer:?}");
        }
    }
}

/// C2: Pictures are streamed, so clients that stop reading use little memory.
#[tokio::test]
async fn slow_picture_readers_use_bounded_memory() {
    let mut app = TestApp::new().await;
    let process = app.serve().await;
    app.logged_in_user("ada@example.com").await;
    let folder = app.variables["MEDIA_DIR"].clone();
    let name = format!("{}.png", "a".repeat(32));
    // Larger than any stored picture, so that a copy in memory is visible.
    let file = File::create(format!("{folder}/{name}")).unwrap();
    file.set_len(64 * 1024 * 1024).unwrap();
    let before = process.peak_memory();

    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut reader = TcpStream::connect(app.address()).await.unwrap();
        let request = format!("GET /media/{name} HTTP/1.1\r\nHost: latchkey\r\n\r\n");
        reader.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        let read = timeout(WAIT_TIMEOUT, reader.read_exact(&mut status)).await;
        read.unwrap().unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        readers.push(reader);
    }

    let more = process.peak_memory() - before;
    assert!(more < 16 * 1024, "{more} KiB more");
}
