//! R2: a `MEDIA_DIR` that hangs, as a network mount does whose server has gone. A named pipe simulates it: opening it blocks until
//! another program opens its other end.

use std::{fs::File, path::Path, process::Command};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::{
    server::health::{is_unavailable, until_readiness},
    support::test_app::TestApp,
};

/// The file of the health check.
const CHECK_FILE: &str = ".health-check";

fn hang(file: &Path) {
    let made = Command::new("mkfifo").arg(file).status().unwrap();
    assert!(made.success());
}

/// Ends all calls that a pipe blocks, and removes it.
fn unblock(file: &Path) {
    let both_ends = File::options().read(true).write(true).open(file).unwrap();
    drop(both_ends);
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn hanging_media_folder_blocks_few_threads_and_no_other_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut app = TestApp::with(&[("MEDIA_DIR", folder.path().to_str().unwrap())]).await;
    let mut process = app.serve().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    until_readiness(&app, "/media", "ok").await;
    let (check, name) = (
        folder.path().join(CHECK_FILE),
        format!("{}.png", "a".repeat(32)),
    );
    let picture = folder.path().join(&name);
    let get = || app.send(app.request(Method::GET, &format!("/media/{name}")));
    let before = process.threads();
    hang(&check);
    hang(&picture);

    let answers = join_all((0..60).map(|_| get())).await;

    answers.iter().for_each(is_unavailable);
    for _ in 0..2 {
        until_readiness(&app, "/media", "does not answer").await;
        is_unavailable(&get().await);
    }
    let more = process.threads().saturating_sub(before);
    assert!(more < 40, "{more} more threads");
    let rename = json!({"username": "Ada"});
    assert_eq!(app.patch_user(&tokens.access, rename).await.status, 200);

    unblock(&check);
    unblock(&picture);
    until_readiness(&app, "/status", "ok").await;
    assert_eq!(get().await.status, 404);
    hang(&picture);
    is_unavailable(&get().await);

    process.terminate().await;
    assert!(process.exit().await.success());
}
