//! R1 on SQLite: a write that returns 2xx is stored, also after a full disk and a loss of files.

use latchkey_shared::{
    database::{self, Database},
    models::{password_reset, session, user},
};
use latchkey_testing::{Process, wait_until};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _};
use serde_json::json;

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp, registration};

/// The writes that need additional space in these tests.
const WRITES: [&str; 3] = [
    "INSERT ON users",
    "UPDATE ON users",
    "INSERT ON password_resets",
];

/// Limits the size of the database file. SQLite does not limit it below its current size.
pub(crate) async fn limit_pages(db: &Database, pages: u32) {
    let transaction = database::begin(db).await.unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    transaction.execute_unprepared(&limit).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn need_space(db: &Database) {
    let transaction = database::begin(db).await.unwrap();
    let ballast = "CREATE TABLE ballast (filler BLOB)";
    transaction.execute_unprepared(ballast).await.unwrap();
    for (number, write) in WRITES.iter().enumerate() {
        let trigger = format!(
            "CREATE TRIGGER ballast_{number} AFTER {write} \
             BEGIN INSERT INTO ballast VALUES (zeroblob(200000)); END"
        );
        transaction.execute_unprepared(&trigger).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// Writes so that SQLite rolls back the whole transaction. Returns whether it did. After a write with triggers, SQLite may
/// undo only the statement.
async fn force_rollback(db: &Database) -> bool {
    let transaction = database::begin(db).await.unwrap();
    let ballast = "INSERT INTO ballast VALUES (zeroblob(200000))";
    transaction.execute_unprepared(ballast).await.is_err()
}

/// Fills the disk after an automatic rollback until `write` is refused. The health checks after a refusal replace the
/// connection and so remove the limit.
async fn until_refused(db: &Database, write: impl AsyncFn() -> bool) {
    wait_until(async || {
        limit_pages(db, 1).await;
        let is_rolled_back = force_rollback(db).await;
        limit_pages(db, 1).await;
        is_rolled_back && write().await
    })
    .await;
}

fn is_unavailable(answer: &ApiResponse) -> bool {
    if answer.status == 200 {
        return false;
    }
    answer.assert_problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    true
}

/// R1: what users save after a full disk is stored.
#[tokio::test]
async fn sqlite_writes_after_full_disk_are_stored() {
    let app = TestApp::on_sqlite().await;
    let db = &app.database.db;
    let ada = app.logged_in_user("ada@example.com").await;
    let other = app.login("ada@example.com", PASSWORD).await;
    need_space(db).await;
    for _ in 0..2 {
        until_refused(db, async || {
            let change = json!({"username": "Refused"});
            let changed = app.patch_user(&ada.access, change).await;
            is_unavailable(&changed)
        })
        .await;
    }
    // If a transaction continued as a savepoint, its end would leave another one open, and all later writes would be lost.
    drop(database::begin(db).await.unwrap());
    limit_pages(db, 1_000_000).await;

    let change = json!({"username": "Grace"});
    let changed = app.patch_user(&ada.access, change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    app.register("new@example.com").await;
    app.login("ada@example.com", PASSWORD).await;
    app.request_reset("ada@example.com").await;
    let logout = app.request(Method::POST, "/auth/logout/");
    let logout = logout.json(&json!({"refresh": other.refresh}));
    let logout = app.send(logout.bearer_auth(&other.access)).await;
    assert_eq!(logout.status, 204, "{logout:?}");

    let stored = app.database.connect().await;
    let find = async |email: &str| user::find_by_email(&stored, &email.parse().unwrap()).await;
    let ada_row = find("ada@example.com").await.unwrap().unwrap();
    assert_eq!(ada_row.username.to_string(), "Grace");
    assert!(find("new@example.com").await.unwrap().is_some());
    let sessions = session::Entity::find().all(&stored).await.unwrap();
    assert_eq!(sessions.len(), 3);
    let revoked = sessions.iter().filter(|row| row.revoked_at.is_some());
    assert_eq!(revoked.count(), 1);
    let resets = password_reset::Entity::find().count(&stored).await;
    assert_eq!(resets.unwrap(), 1);
    assert_eq!(app.get_user(&other.access).await.status, 401);
    stored.check_write().await.unwrap();
}

/// R2: a limit on the size of files (`ulimit -f`) is an outage of the database and does not end the program.
#[tokio::test]
async fn sqlite_file_size_limit_writes_return_503() {
    let mut app = TestApp::on_sqlite().await;
    app.set("BIND", "127.0.0.1:0");
    // The migrations have written a log that is longer than the limit.
    let empty_log = "PRAGMA wal_checkpoint(TRUNCATE)";
    app.database.db.execute_unprepared(empty_log).await.unwrap();
    // 1 MiB: POSIX counts in units of 512 bytes.
    let script = format!(
        "ulimit -f 2048 && exec {} serve",
        env!("CARGO_BIN_EXE_latchkey-api")
    );
    let process = Process::spawn("sh", &["-c", &script], &app.variables);
    let mut process = app.send_to(process).await;
    app.register("ada@example.com").await;

    // This program has no limit, and the write-ahead log becomes longer than the other's.
    let ballast =
        "CREATE TABLE ballast (filler BLOB); INSERT INTO ballast VALUES (zeroblob(2500000))";
    app.database.db.execute_unprepared(ballast).await.unwrap();
    let answer = app
        .post("/api/register/", registration("bo@example.com"))
        .await;

    assert!(is_unavailable(&answer));
    let readiness = async || app.send(app.request(Method::GET, "/health/ready")).await;
    wait_until(async || readiness().await.text("/database") == "I/O error").await;
    assert_eq!(readiness().await.status, 503);
    process.wait_for_line("ulimit -f").await;
}

/// R1: a user whose registration returned 201 has an account, also if the disk was full for others in the same commit.
#[tokio::test]
async fn sqlite_full_disk_registrations_are_stored_or_refused() {
    let app = TestApp::on_sqlite().await;
    let db = &app.database.db;
    need_space(db).await;
    limit_pages(db, 1).await;
    let register = async |number: u32| {
        let email = format!("user{number}@example.com");
        let answer = app.post("/api/register/", registration(&email)).await;
        (email, answer.status.as_u16())
    };
    let answers = futures_util::future::join_all((0..20).map(register)).await;

    let stored = app.database.connect().await;
    for (email, status) in answers {
        let found = user::find_by_email(&stored, &email.parse().unwrap()).await;
        let expected = if found.unwrap().is_some() { 201 } else { 503 };
        assert_eq!(status, expected, "{email}");
    }
}

/// R1: an operator replaces the file of a running server by a backup. Nothing is confirmed that the next start would not find.
#[tokio::test]
async fn sqlite_replaced_file_requests_return_503() {
    let app = TestApp::on_sqlite().await;
    let ada = app.logged_in_user("ada@example.com").await;
    let path = app.database.url().strip_prefix("sqlite://").unwrap();
    let backup = format!("{path}.backup");
    std::fs::copy(path, &backup).unwrap();
    std::fs::rename(&backup, path).unwrap();

    let answer = app
        .post("/api/register/", registration("new@example.com"))
        .await;

    assert!(is_unavailable(&answer));
    assert!(is_unavailable(&app.get_user(&ada.access).await));
}

/// R1: what the server has confirmed survives its end, although another program deletes the write-ahead log. This process has the
/// database open, too, as a worker would.
#[tokio::test]
async fn sqlite_deleted_log_confirmed_registrations_are_stored() {
    for lost in [&["-wal"][..], &["-wal", "-shm"]] {
        let mut app = TestApp::on_sqlite().await;
        let mut process = app.serve().await;
        app.register("before@example.com").await;
        let path = app.database.url().strip_prefix("sqlite://").unwrap();
        for suffix in lost {
            std::fs::remove_file(format!("{path}{suffix}")).unwrap();
        }

        wait_until(async || {
            let body = registration("after@example.com");
            let answer = app.post("/api/register/", body).await;
            answer.status == 201 || !is_unavailable(&answer)
        })
        .await;
        process.wait_for_line("Find what deletes").await;
        let is_stored = async || app.database.db.check_write().await.is_ok();
        wait_until(is_stored).await;
        app.register("last@example.com").await;
        process.kill().await;

        // Opened anew, like the next start.
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("copy.db").display().to_string();
        for suffix in ["", "-wal"] {
            let files = [format!("{path}{suffix}"), format!("{copied}{suffix}")];
            let status = std::process::Command::new("cp").args(files).status();
            assert!(status.unwrap().success(), "{suffix}");
        }
        let stored = database::connect(&format!("sqlite://{copied}"))
            .await
            .unwrap();
        for email in ["before", "after", "last"] {
            let email = format!("{email}@example.com").parse().unwrap();
            let found = user::find_by_email(&stored, &email).await.unwrap();
            assert!(found.is_some(), "{email} after {lost:?}");
        }
    }
}
