//! Pictures: accepted formats, processing and serving.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{DynamicImage, GenericImageView as _, ImageFormat, RgbImage};
use latchkey_shared::{
    database,
    models::user::{self, NewUser},
};
use serde_json::json;

use crate::support::test_app::{TestApp, registration};

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture: DynamicImage = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 200])
    })
    .into();
    let picture = if format == ImageFormat::Jpeg {
        picture
    } else {
        picture.into_rgba8().into()
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::Png)
}

pub(crate) fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

/// A JPEG whose EXIF segment says that it lies on its side (orientation 6), and where it was taken.
fn photograph(width: u32, height: u32) -> Vec<u8> {
    let jpeg = encoded(width, height, ImageFormat::Jpeg);
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    tiff.extend_from_slice(b"GPS 30.0444N 31.2357E");
    let mut segment = vec![0xff, 0xe1];
    segment.extend_from_slice(&u16::try_from(tiff.len() + 8).unwrap().to_be_bytes());
    segment.extend_from_slice(b"Exif\0\0");
    segment.extend_from_slice(&tiff);
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

pub(crate) async fn upload(
    app: &TestApp,
    email: &str,
    bytes: Vec<u8>,
) -> crate::support::test_app::ApiResponse {
    let form = reqwest::multipart::Form::new()
        .text("email", email.to_owned())
        .text("username", "Ada")
        .text("password", crate::support::test_app::PASSWORD)
        .part(
            "image",
            reqwest::multipart::Part::bytes(bytes).file_name("upload.bin"),
        );
    app.send(
        app.request(reqwest::Method::POST, "/api/register/")
            .multipart(form),
    )
    .await
}

/// A2: The content decides the format. Pictures are served as JPEG with `nosniff`.
#[tokio::test]
async fn opaque_picture_of_any_format_becomes_jpeg() {
    let app = TestApp::new().await;
    for (number, format) in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ]
    .into_iter()
    .enumerate()
    {
        let answer = upload(
            &app,
            &format!("p{number}@example.com"),
            encoded(31, 17, format),
        )
        .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(
            answer
                .text("/image")
                .starts_with(&format!("{}/media/", app.base)),
            "{answer:?}"
        );

        let served = app.http.get(answer.text("/image")).send().await.unwrap();
        assert_eq!(served.headers()["content-type"], "image/jpeg");
        assert_eq!(served.headers()["x-content-type-options"], "nosniff");
        let bytes = served.bytes().await.unwrap();
        assert_eq!(image::guess_format(&bytes).unwrap(), ImageFormat::Jpeg);
        assert_eq!(
            image::load_from_memory(&bytes).unwrap().dimensions(),
            (31, 17)
        );
    }
}

/// A2: Pictures are rotated upright and re-encoded, so neither GPS data nor appended bytes survive.
#[tokio::test]
async fn picture_metadata_and_trailing_bytes_are_removed() {
    let app = TestApp::new().await;
    let mut bytes = photograph(30, 10);
    bytes.extend_from_slice(b"<script>alert(1)</script>");

    let answer = upload(&app, "photo@example.com", bytes).await;

    let served = app
        .http
        .get(answer.text("/image"))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    for trace in ["Exif", "GPS", "30.0444", "<script>"] {
        assert!(
            !served
                .windows(trace.len())
                .any(|window| window == trace.as_bytes()),
            "{trace} is still in the picture"
        );
    }
    assert_eq!(
        image::load_from_memory(&served).unwrap().dimensions(),
        (10, 30),
        "the picture is not upright"
    );
}

/// A2: Files that are too large or no picture are rejected before any pixel is decoded.
#[tokio::test]
async fn too_large_or_invalid_picture_is_rejected() {
    let app = TestApp::new().await;
    let whole = png(40, 40);
    let mut long = png(4, 4);
    long.resize(5 * 1024 * 1024 + 1, 0);
    for (bytes, code) in [
        (png(6_000, 5_000), "too_large"),
        (long, "too_large"),
        (whole[..whole.len() / 2].to_vec(), "invalid"),
        (b"not a picture".to_vec(), "invalid"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0".to_vec(), "invalid"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            "invalid",
        ),
        (b"%PDF-1.4".to_vec(), "invalid"),
    ] {
        let answer = upload(&app, "bad@example.com", bytes).await;
        answer.assert_invalid_field("image", code);
    }
    for text in [
        "x.png",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,****",
    ] {
        let mut form = registration("bad@example.com");
        form["image"] = json!(text);
        let answer = app.post("/api/register/", form).await;
        assert_eq!(
            answer.invalid_fields(),
            [("image".to_owned(), "invalid".to_owned())]
        );
    }
    assert!(app.pictures().is_empty());
}

/// Users can upload pictures of 5 MiB, as JSON and as multipart.
#[tokio::test]
async fn picture_of_5_mib_is_accepted() {
    let app = TestApp::new().await;
    // Bytes after the end of a picture count only towards its size.
    let mut large = png(100, 100);
    large.resize(5 * 1024 * 1024, 0);

    let mut form = registration("json@example.com");
    form["image"] = json!(data_url(&large));
    let answer = app.post("/api/register/", form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = upload(&app, "multipart@example.com", large).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// A2: Picture names are random, and no other file can be read.
#[tokio::test]
async fn media_serves_only_stored_pictures() {
    let app = TestApp::new().await;
    let answer = upload(&app, "a@example.com", png(4, 4)).await;
    let name = answer.text("/image").rsplit('/').next().unwrap().to_owned();
    assert_eq!(name.len(), 36, "{name}");

    for path in [
        "/media/",
        "/media/../Cargo.toml",
        "/media/..%2fCargo.toml",
        "/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/media/x.png",
        "/media/00000000000000000000000000000000.png",
        "/media/00000000000000000000000000000000.html",
    ] {
        app.send(app.request(reqwest::Method::GET, path))
            .await
            .assert_problem(404, "not-found");
    }
}

/// Operators remove unused pictures. Files of the last day and foreign files are kept.
#[tokio::test]
async fn pictures_prune_removes_only_old_unused_pictures() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.patch_user(&tokens.access, json!({"image": data_url(&png(5, 5))}))
        .await;
    let used = app.pictures().remove(0);
    let folder = used.parent().unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(25);
    let write = |name: &str, is_old: bool| {
        std::fs::write(folder.join(name), png(1, 1)).unwrap();
        if is_old {
            let file = std::fs::File::options()
                .append(true)
                .open(folder.join(name));
            file.unwrap().set_modified(old).unwrap();
        }
    };
    let unused = [
        format!("{}.jpg", "a".repeat(32)),
        format!("{}.partial", "b".repeat(32)),
    ];
    for name in &unused {
        write(name, true);
    }
    write(&format!("{}.png", "c".repeat(32)), false);
    write("notes.png", true);
    // The command reads a thousand rows at a time.
    let transaction = database::begin(&app.database.db).await.unwrap();
    for i in 0..1_001 {
        let new = NewUser {
            picture: Some(format!("{i:032x}.png")),
            ..NewUser::superuser(
                format!("user{i}@example.com").parse().unwrap(),
                "Ada".parse().unwrap(),
                "none".to_owned(),
            )
        };
        let now = app.clock.now();
        user::insert(&transaction, new, now).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let last = format!("{:032x}.png", 1_000);
    write(&last, true);
    let file = std::fs::File::options().append(true).open(&used);
    file.unwrap().set_modified(old).unwrap();

    for (arguments, says, left) in [
        (
            &["pictures", "prune", "--dry-run"][..],
            "2 of 4 picture(s) are unused.",
            6,
        ),
        (&["pictures", "prune"], "Removed 2 of 4 picture(s).", 4),
        (&["pictures", "prune"], "Removed 0 of 2 picture(s).", 4),
    ] {
        let (code, output) = app.process(arguments).output().await;
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains(says), "{output}");
        let listed = unused.iter().all(|name| output.contains(name));
        assert_eq!(listed, !says.contains("0 of"), "{output}");
        assert_eq!(app.pictures().len(), left, "{output}");
    }
    assert!(used.exists() && folder.join(last).exists());
}
