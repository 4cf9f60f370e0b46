//! `latchkey-api import django`: pictures of a hostile media folder, and the logins of all accounts.

use std::{fs, os::unix::fs::symlink};

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use crate::{
    cli::import::{DATA, Original, expected, lines},
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

/// P4: every owner logs in with the password of the original, unless it stored no usable hash or the account is not usable.
#[tokio::test]
async fn import_keeps_password_of_every_account() {
    let app = TestApp::with(&[("HASH_QUEUE_SECONDS", "60")]).await;
    Original::copy().import(&app, &[]).await;
    let mut attempts: Vec<_> = expected()
        .into_iter()
        .filter_map(|(email, fixture)| {
            let password = fixture["password"].as_str()?.to_owned();
            let expected = match fixture["login_after_import"].as_str()? {
                "not_imported" => return None,
                // Imported passwords may be longer than new ones.
                "ok" | "ok_if_supported" | "refused_too_long" => "ok",
                "not_activated" => "not-activated",
                "needs_reset" | "refused" => "invalid-credentials",
                other => panic!("{email}: {other}"),
            };
            Some((email, password, expected))
        })
        .collect();
    // Each failure computes all functions that are still stored, so successful logins come first.
    attempts.sort_by_key(|(_, _, expected)| *expected != "ok");

    // As many as there are usually cores, so that no login waits for long.
    let logins = stream::iter(attempts).map(async |(email, password, expected)| {
        let answer = app.try_login(&email, &password).await;
        let problem = answer.body["type"].as_str();
        let found = problem.map_or("ok", |problem| problem.trim_start_matches("/problems/"));
        assert_eq!(found, expected, "{email}");
        expected
    });
    let outcomes: Vec<_> = logins.buffer_unordered(2).collect().await;

    let successful = outcomes.iter().filter(|outcome| **outcome == "ok");
    assert_eq!(successful.count(), 94);
}
