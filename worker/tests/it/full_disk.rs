//! R1 on SQLite: after a full disk, the worker stores the state of its mails.

use latchkey_shared::{
    database::{self, Database},
    models::mail::{self, MailState},
};
use latchkey_testing::{Fault, Process};
use latchkey_worker::delivery::Outcome;
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use uuid::Uuid;

use crate::test_app::{TestApp, get};

/// Runs statements on the writing connection.
async fn execute(db: &Database, sql: &str) {
    let transaction = database::begin(db).await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Writes so that SQLite rolls back the whole transaction. After a write with triggers it may undo only the statement.
async fn undo_all(db: &Database) {
    let transaction = database::begin(db).await.unwrap();
    let ballast = "INSERT INTO ballast VALUES (zeroblob(200000))";
    transaction.execute_unprepared(ballast).await.unwrap_err();
}

/// Makes every change of a mail's row need disk space, and fills the disk twice.
async fn fail_twice(app: &TestApp, mail: Uuid, change: &str) {
    let db = &app.database.db;
    let ballast = format!(
        "CREATE TABLE ballast (filler BLOB); CREATE TRIGGER ballast_1 AFTER UPDATE ON mails WHEN {change} \
         BEGIN INSERT INTO ballast VALUES (zeroblob(200000)); END"
    );
    execute(db, &ballast).await;
    for _ in 0..2 {
        execute(db, "PRAGMA max_page_count = 1").await;
        undo_all(db).await;
        execute(db, "PRAGMA max_page_count = 1").await;
        let error = app.delivery().deliver(mail).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        // The claim of the failed delivery expires.
        app.clock.advance(chrono::TimeDelta::minutes(10));
    }
    execute(db, "PRAGMA max_page_count = 1000000").await;
}

async fn stored(app: &TestApp, mail: Uuid) -> mail::Model {
    let db = app.database.connect().await;
    let found = mail::Entity::find_by_id(mail).one(&db).await;
    found.unwrap().unwrap()
}

async fn notice(app: &TestApp) -> Uuid {
    let user = app.user("ada@example.com").await;
    app.notice(mail::MailKind::PasswordChanged, &user).await
}

/// The worker could not store its claim. After the disk has space, the mail is sent once and stored as sent.
#[tokio::test]
async fn sqlite_mail_sent_after_full_disk_is_recorded() {
    let app = TestApp::on_sqlite().await;
    let mail = notice(&app).await;
    fail_twice(&app, mail, "new.state = 'queued'").await;

    assert_eq!(app.deliver(mail).await, Outcome::Sent);
    assert_eq!(stored(&app, mail).await.state, MailState::Sent);
    assert_eq!(app.sink.mails().len(), 1);
}

/// The next attempt fails at the SMTP server, and the row stores the error and the end of the claim.
#[tokio::test]
async fn sqlite_mail_deferred_after_full_disk_is_recorded() {
    let app = TestApp::on_sqlite().await;
    let mail = notice(&app).await;
    fail_twice(&app, mail, "new.state = 'queued'").await;
    app.sink.set_fault(Fault::CloseConnections);

    assert_eq!(app.deliver(mail).await, Outcome::Deferred);
    let row = stored(&app, mail).await;
    assert_eq!((row.state, row.claimed_until), (MailState::Queued, None));
    assert!(row.last_error.is_some());
}

/// A sent mail whose state could not be stored is sent again rather than lost.
#[tokio::test]
async fn sqlite_full_disk_while_recording_repeats_the_mail() {
    let app = TestApp::on_sqlite().await;
    let mail = notice(&app).await;
    fail_twice(&app, mail, "new.state = 'sent'").await;
    assert_eq!(stored(&app, mail).await.state, MailState::Queued);

    assert_eq!(app.deliver(mail).await, Outcome::Sent);
    assert_eq!(stored(&app, mail).await.state, MailState::Sent);
}

/// R2: a limit on the size of files (`ulimit -f`) does not end the worker.
#[tokio::test]
async fn sqlite_file_size_limit_worker_names_it() {
    let mut app = TestApp::on_sqlite().await;
    app.set("METRICS_BIND", "127.0.0.1:0");
    // 1 or 2 MiB: the unit depends on the shell.
    let script = format!(
        "ulimit -f 2048 && exec {}",
        env!("CARGO_BIN_EXE_latchkey-worker")
    );
    let mut worker = Process::spawn("sh", &["-c", &script], &app.variables);
    let url = worker.wait_for_url("Metrics and health checks on").await;

    execute(&app.database.db, "CREATE TABLE ballast (filler BLOB)").await;
    let ballast = "INSERT INTO ballast VALUES (zeroblob(2500000))";
    execute(&app.database.db, ballast).await;
    app.clock = latchkey_shared::clock::Clock::system();
    notice(&app).await;

    worker.wait_for_line("ulimit -f").await;
    assert_eq!(get(&format!("{url}/health/live")).await.0, 200);
}
