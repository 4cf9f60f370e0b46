//! The built program: shutdown, log, configuration and migrations.

use latchkey_shared::{clock::Clock, models::mail::MailState};
use latchkey_testing::{Fault, wait_until};

use crate::test_app::TestApp;

/// SIGTERM: the worker sends the mail whose conversation has begun and leaves the others queued.
#[tokio::test]
async fn stopping_worker_finishes_only_mails_in_flight() {
    let mut app = TestApp::new().await;
    app.clock = Clock::system();
    app.set("WORKER_CONCURRENCY", "1");
    app.users(3).await;
    app.sink.set_fault(Fault::HangAfterData);
    let mut worker = app.process(&["run"]);
    app.request_resets(3).await;
    app.sink.wait_until_hanging(1).await;

    worker.terminate().await;
    worker.wait_for_line("Shutting down").await;
    app.sink.set_fault(Fault::None);
    let (code, log) = worker.output().await;

    assert_eq!(code, Some(0), "{log}");
    assert_eq!(app.sink.mails().len(), 1, "{log}");
    assert_eq!(app.count(MailState::Sent).await, 1);
    assert_eq!(app.count(MailState::Queued).await, 2);
    assert!(!log.contains("@example.com"), "{log}");
}

/// The server does not reply within `SHUTDOWN_SECONDS`. The mail stays queued.
#[tokio::test]
async fn worker_abandoning_a_mail_exits_with_1() {
    let mut app = TestApp::new().await;
    app.clock = Clock::system();
    app.set("SHUTDOWN_SECONDS", "1");
    app.users(1).await;
    app.sink.set_fault(Fault::Hang);
    let worker = app.process(&[]);
    app.request_resets(1).await;
    app.sink.wait_until_hanging(1).await;

    worker.terminate().await;
    let (code, log) = worker.output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("with mails in flight"), "{log}");
    assert_eq!(app.count(MailState::Queued).await, 1);
}

/// The line of a sent mail has its id, kind, request id, attempts and duration.
#[tokio::test]
async fn mail_log_line_contains_no_recipient_or_code() {
    let mut app = TestApp::new().await;
    app.clock = Clock::system();
    app.users(1).await;
    let worker = app.process(&[]);
    app.request_resets(1).await;
    let mail = app.wait_for_mails(1).await.remove(0);

    worker.terminate().await;
    let (code, log) = worker.output().await;

    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("Mail sent"))
        .collect();
    assert_eq!((code, lines.len()), (Some(0), 1), "{log}");
    let id = app.rows().await[0].id.to_string();
    for part in [&id, "reset_code", "request-1", "attempts", "duration_ms"] {
        assert!(lines[0].contains(part), "{part}: {log}");
    }
    for secret in [mail.code().unwrap().as_str(), "user0", "@example.com"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn invalid_configuration_stops_start_and_names_keys() {
    let mut app = TestApp::new().await;
    app.set("SMTP_URL", "http://ada:hunter2@example.com");
    app.set("OTP_DIGITS", "3");

    let (code, log) = app.process(&[]).output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("SMTP_URL: expected smtp://"), "{log}");
    assert!(
        log.contains("OTP_DIGITS: expected a number from 6 to 10"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn unmigrated_database_stops_start_with_remedy() {
    let mut app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/empty.db", folder.path().display());
    app.set("DATABASE_URL", &url);

    let (code, log) = app.process(&[]).output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("latchkey-api migrate"), "{log}");
}

/// During a rolling upgrade, an old worker may restart after the migration.
#[tokio::test]
async fn newer_database_schema_is_accepted() {
    use sea_orm::ConnectionTrait as _;
    let app = TestApp::new().await;
    let step =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_a_later_version', 1)";
    app.database.db.execute_unprepared(step).await.unwrap();

    app.process(&[]).wait_for_line("Worker ready").await;
}

/// A developer without an SMTP server finds the code in a file in `MAIL_DIR`.
#[tokio::test]
async fn mail_without_smtp_url_is_a_readable_file() {
    let mut app = TestApp::new().await;
    app.clock = Clock::system();
    app.users(1).await;
    app.variables.remove("SMTP_URL");
    let worker = app.process(&[]);
    app.request_resets(1).await;
    app.wait_for(MailState::Sent, 1).await;

    let mail = app.rows().await.remove(0);
    let file = worker.folder().join(format!("var/mail/{}.eml", mail.id));
    wait_until(async || file.exists()).await;
    let text = std::fs::read_to_string(file).unwrap();
    let reset = mail.reset_id.unwrap();
    let code = app.codes().find(reset).await.unwrap().unwrap();
    assert!(text.lines().any(|line| line == code.expose()), "{text}");
    assert!(text.contains(&format!("Subject: {} is your Latchkey code", code.expose())));
    assert!(text.contains(&format!("Message-ID: <{}>", mail.message_id)));
}

/// The operator learns which setting lacks the earlier key.
#[tokio::test]
async fn worker_with_unknown_secret_key_names_the_setting() {
    let mut app = TestApp::new().await;
    app.set("SECRET_KEY", "kPq7vR2mXw9sT4nB8hJ3fL6dG1cZ5yA0");
    let (code, log) = app.process(&[]).output().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("SECRET_KEY_PREVIOUS"), "{log}");
}
