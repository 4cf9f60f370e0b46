//! Weak configurations in production, and SQLite files.

use std::{fs, os::unix::fs::PermissionsExt as _};

use futures_util::future::join_all;
use latchkey_shared::database;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

use crate::support::test_app::TestApp;

/// Operators see every weak setting at once. The secret is not printed.
#[tokio::test]
async fn production_start_with_weak_settings_names_each_key() {
    let mut app = TestApp::new().await;
    let weak = "abababababababababababababababab";
    for (key, value) in [
        ("ENVIRONMENT", "production"),
        ("SECRET_KEY", weak),
        ("PUBLIC_URL", "http://accounts.example.com"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
    ] {
        app.set(key, value);
    }

    let (code, output) = app.process(&["serve"]).output().await;

    assert_eq!(code, Some(1));
    for key in [
        "SECRET_KEY: expected random bytes in production",
        "PUBLIC_URL: expected an https:// URL in production",
        "TRUSTED_PROXIES: expected in production the networks of your own proxies",
        "LIMIT_LOGIN_IP: expected at most 100 times 60/60 in production, or LIMITS=off",
        "LIMIT_LOGIN_FAILURES: expected at most 100 in production, or LIMITS=off",
    ] {
        assert!(output.contains(key), "{key} is not in: {output}");
    }
    assert!(!output.contains(weak), "{output}");
}

/// URLs in mails are built from a base that has only a scheme, a host and a plain path.
#[tokio::test]
async fn invalid_public_url_stops_the_start() {
    for bad in [
        "https://h.example/?a=b",
        "https://h.example/#a",
        "https://ada@h.example",
        "https://h.example/a//b",
        "https://h.example/a;b",
        "https://h.example/a%20b",
        "https://h.example/a/../b",
        "https://h.example/%2e%2E/x",
        "https://h.example/.",
        "https://h.example/a/./",
        "https://h.example\\a",
        "https:\\\\h.example",
    ] {
        let mut app = TestApp::new().await;
        app.set("PUBLIC_URL", bad);
        let (code, output) = app.process(&["serve"]).output().await;
        assert_eq!(code, Some(1), "{bad}");
        assert!(output.contains("PUBLIC_URL: expected the URL"), "{output}");
    }
}

/// R2: no mount makes a folder of a file, so the server does not start without it.
#[tokio::test]
async fn media_dir_at_a_file_stops_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for bad in [path.to_owned(), format!("{path}/media")] {
        let mut app = TestApp::new().await;
        app.set("MEDIA_DIR", &bad);

        let (code, output) = app.process(&["serve"]).output().await;

        assert_eq!(code, Some(1), "{bad}: {output}");
        assert!(output.contains("MEDIA_DIR: expected a folder"), "{output}");
    }
}

/// A server that other machines can reach warns that it does not run in production mode.
#[tokio::test]
async fn development_on_reachable_address_logs_a_warning() {
    let mut app = TestApp::new().await;
    // No machine has this address (RFC 5737), so nothing is bound.
    app.set("BIND", "192.0.2.1:8000");

    let (code, output) = app.process(&["serve"]).output().await;

    assert_eq!(code, Some(1));
    assert!(
        output.contains("BIND is 192.0.2.1:8000") && output.contains("ENVIRONMENT=production"),
        "{output}"
    );
}

/// The log tells which rules the server applies.
#[tokio::test]
async fn start_logs_the_environment() {
    let mut app = TestApp::new().await;
    let process = app.serve().await;
    let lines = process.lines().join("\n");
    assert!(lines.contains("environment=development"), "{lines}");
}

/// One setting turns all rate limits off.
#[tokio::test]
async fn limits_off_disables_rate_limits() {
    let app = TestApp::with(&[("LIMITS", "off"), ("LIMIT_LOGIN_IP", "1/3600")]).await;
    for _ in 0..3 {
        let answer = app.try_login("ada@example.com", "wrong wrong").await;
        answer.assert_problem(401, "invalid-credentials");
    }
}

/// Other users of the machine cannot read the database.
#[tokio::test]
async fn sqlite_files_are_readable_only_by_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new folder/latchkey.db");
    let url = format!("sqlite://{}", path.display());
    let db = database::create(&url).await.unwrap();
    db.execute_unprepared("CREATE TABLE t (a INTEGER)")
        .await
        .unwrap();

    let mut names = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(mode & 0o777, 0o600, "{names:?}");
    }
    names.sort();
    assert_eq!(names, ["latchkey.db", "latchkey.db-shm", "latchkey.db-wal"]);
}

/// R2: a start without the database file fails. An empty database would look as if every account were lost.
#[tokio::test]
async fn missing_sqlite_file_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latchkey.db");
    let url = format!("sqlite://{}", path.display());
    let error = database::connect(&url).await.unwrap_err();
    assert!(
        error.to_string().contains("latchkey-api migrate"),
        "{error}"
    );
    assert!(!path.exists());

    let db = database::create(&url).await.unwrap();
    fs::rename(&path, folder.path().join("moved.db")).unwrap();
    // More concurrent reads than open connections.
    let reads =
        (0..8).map(|_| db.query_one_raw(Statement::from_string(DbBackend::Sqlite, "SELECT 1")));
    join_all(reads).await;

    assert!(!path.exists());
}
