//! The built program, stopped and misconfigured.

use latchkey_shared::{clock::Clock, models::mail::MailState};
use latchkey_testing::{Fault, PATIENCE};
use tokio::time::{Duration, sleep, timeout};

use crate::world::World;

#[tokio::test]
async fn a_stopped_worker_finishes_what_it_has_begun_and_begins_nothing_more() {
    let mut world = World::new().await;
    world.clock = Clock::system();
    world.set("WORKER_CONCURRENCY", "1");
    world.users(3).await;
    world.sink.set_fault(Fault::Hold);
    let mut worker = world.process(&["run"]);
    world.ask_for(3).await;
    world.sink.wait_until_stuck(1).await;

    worker.terminate().await;
    worker.wait_for_line("Shutting down").await;
    world.sink.set_fault(Fault::None);
    let (code, log) = worker.output().await;

    assert_eq!(code, Some(0), "{log}");
    assert_eq!(world.sink.mails().len(), 1, "{log}");
    assert_eq!(world.count(MailState::Sent).await, 1);
    assert_eq!(world.count(MailState::Queued).await, 2);
    assert!(!log.contains("@example.com"), "{log}");
}

#[tokio::test]
async fn a_worker_that_has_to_abandon_a_mail_says_so_and_exits_with_1() {
    let mut world = World::new().await;
    world.clock = Clock::system();
    world.set("SHUTDOWN_SECONDS", "1");
    world.users(1).await;
    world.sink.set_fault(Fault::Hang);
    let worker = world.process(&[]);
    world.ask_for(1).await;
    world.sink.wait_until_stuck(1).await;

    worker.terminate().await;
    let (code, log) = worker.output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("with mails in flight"), "{log}");
    assert_eq!(world.count(MailState::Queued).await, 1);
}

#[tokio::test]
async fn a_log_line_of_a_mail_names_the_mail_and_neither_the_person_nor_the_code() {
    let mut world = World::new().await;
    world.clock = Clock::system();
    world.users(1).await;
    let worker = world.process(&[]);
    world.ask_for(1).await;
    world.wait_for(MailState::Sent, 1).await;

    worker.terminate().await;
    let (code, log) = worker.output().await;

    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("Mail sent"))
        .collect();
    assert_eq!((code, lines.len()), (Some(0), 1), "{log}");
    let id = world.rows().await[0].id.to_string();
    for part in [&id, "reset_code", "request-1", "attempts", "duration_ms"] {
        assert!(lines[0].contains(part), "{part}: {log}");
    }
    let mail = world.sink.mails().remove(0);
    for secret in [mail.code().unwrap().as_str(), "user0", "@example.com"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_stops_the_start_and_names_its_keys() {
    let mut world = World::new().await;
    world.set("SMTP_URL", "http://ada:hunter2@example.com");
    world.set("OTP_DIGITS", "3");

    let (code, log) = world.process(&[]).output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("SMTP_URL: expected smtp://"), "{log}");
    assert!(
        log.contains("OTP_DIGITS: expected a number from 6 to 10"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_database_that_was_not_migrated_stops_the_start_and_says_what_to_do() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/empty.db", folder.path().display());
    world.set("DATABASE_URL", &url);

    let (code, log) = world.process(&[]).output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("latchkey-api migrate"), "{log}");
}

/// Programs are replaced one by one, and one that is not replaced yet may have to start again.
#[tokio::test]
async fn a_database_that_a_newer_program_has_migrated_is_good_enough() {
    use sea_orm::ConnectionTrait as _;
    let world = World::new().await;
    let step =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_a_later_version', 1)";
    world.database.db.execute_unprepared(step).await.unwrap();

    world.process(&[]).wait_for_line("Worker ready").await;
}

#[tokio::test]
async fn without_a_server_mails_are_files_that_grep_can_read() {
    let mut world = World::new().await;
    world.clock = Clock::system();
    world.users(1).await;
    world.variables.remove("SMTP_URL");
    let worker = world.process(&[]);
    world.ask_for(1).await;
    world.wait_for(MailState::Sent, 1).await;

    let mail = world.rows().await.remove(0);
    let file = worker.folder().join(format!("var/mail/{}.eml", mail.id));
    let there = async {
        while !file.exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, there).await.unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let reset = mail.reset_id.unwrap();
    let code = world.codes().find(reset).await.unwrap().unwrap();
    assert!(text.lines().any(|line| line == code.expose()), "{text}");
    assert!(text.contains(&format!("Subject: {} is your Latchkey code", code.expose())));
    assert!(text.contains(&format!("Message-ID: <{}>", mail.message_id)));
}
