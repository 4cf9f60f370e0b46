//! `latchkey-api import django`: pictures of a hostile media folder.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;

use crate::{
    cli::import::{DATA, Original, lines},
    support::test_app::TestApp,
};

/// The import skips pictures over 5 MiB and symbolic links out of the media folder. It follows links that stay below the folder.
#[tokio::test]
async fn import_rejects_large_and_outside_pictures() {
    let (app, original) = (TestApp::new().await, Original::copy());
    let media = tempfile::tempdir().unwrap();
    let path = |name: &str| media.path().join(name);
    let outside = format!("{DATA}/outside.png");
    let picture = fs::read(&outside).unwrap();
    // Decoders ignore what follows the picture.
    let sized = |bytes: usize| {
        let mut large = picture.clone();
        large.resize(bytes, 0);
        large
    };
    fs::write(path("largest.png"), sized(5 * 1_024 * 1_024)).unwrap();
    fs::write(path("larger.png"), sized(5 * 1_024 * 1_024 + 1)).unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("folder/real.png"), &picture).unwrap();
    symlink("folder/real.png", path("inside.png")).unwrap();
    symlink(&outside, path("outside.png")).unwrap();
    symlink("/", path("root")).unwrap();
    symlink("loop.png", path("loop.png")).unwrap();
    let rooted = format!("root{outside}");
    let images = [
        (3, "largest.png", None),
        (4, "larger.png", Some("image_too_large")),
        (5, "inside.png", None),
        (6, "outside.png", Some("image_outside_media")),
        (8, "loop.png", Some("image_unreadable")),
        (9, "folder", Some("image_unreadable")),
        (10, &rooted, Some("image_outside_media")),
    ];
    original.execute("UPDATE users_user SET image = ''").await;
    for (id, image, _) in images {
        let sql = format!("UPDATE users_user SET image = '{image}' WHERE id = {id}");
        original.execute(&sql).await;
    }

    let report = original.report();
    let arguments = ["import", "django", "--from", &original.url];
    let media = media.path().to_str().unwrap();
    let more = ["--media", media, "--report", report.to_str().unwrap()];
    app.run(&[&arguments[..], &more].concat(), 0).await;

    assert_eq!(app.pictures().len(), 2);
    let lines = lines(&report);
    for (id, image, reason) in images {
        let reasons = lines.get(&id).and_then(|line| line["reasons"].as_array());
        let texts = reasons.into_iter().flatten().filter_map(Value::as_str);
        let found: Vec<_> = texts.filter(|text| text.starts_with("image")).collect();
        assert_eq!(found, Vec::from_iter(reason), "{image}");
    }
}
