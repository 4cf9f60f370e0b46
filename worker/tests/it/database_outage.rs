//! R2: an outage of the database is logged once, and no delivery starts until it ends.

use chrono::TimeDelta;
use latchkey_shared::{clock::Clock, health::Checks, models::mail::MailState};
use latchkey_testing::{Forwarder, WAIT_TIMEOUT};
use latchkey_worker::{database_health::DatabaseHealth, delivery::Outcome};
use sea_orm::{ConnAcquireErr, ConnectionTrait as _, DbErr};
use tokio::time::timeout;

use crate::test_app::{TestApp, get};

/// The number of mails that are queued during the outage.
const MAILS: usize = 60;
/// `WORKER_CONCURRENCY` of 2 times the prefetch factor.
const MAX_IN_FLIGHT: usize = 8;

/// 60 mails wait during the outage. The log has one line with the remedy instead of one per mail and attempt.
#[tokio::test]
async fn postgres_outage_is_logged_once_and_pauses_deliveries() {
    let mut app = TestApp::on_postgres().await;
    app.clock = Clock::system();
    app.users(MAILS).await;
    let (forwarder, url) = Forwarder::start(app.database.url()).await;
    app.set("DATABASE_URL", &url);
    app.set("WORKER_CONCURRENCY", "2");
    app.set("RUST_LOG", "warn,latchkey=debug,apalis=off");
    let (mut worker, base) = app.process_with_metrics(&[]).await;
    worker.wait_for_line("Worker ready").await;

    forwarder.stop();
    app.request_resets(MAILS).await;
    worker.wait_for_line("Dependency failed").await;
    for path in ["/health/ready", "/metrics", "/health/ready"] {
        get(&format!("{base}{path}")).await;
    }
    forwarder.restart().await;

    app.wait_for_mails(MAILS).await;
    worker.wait_for_line("Dependency works again").await;
    worker.terminate().await;
    let (code, log) = worker.output().await;
    assert_eq!(code, Some(0), "{log}");
    app.mails(MAILS);
    let loud: Vec<_> = log
        .lines()
        .filter(|line| line.contains(" ERROR ") || line.contains(" WARN latchkey_worker"))
        .collect();
    assert_eq!(loud.len(), 1, "{loud:#?}");
    assert!(
        loud[0].contains("Check that the database server runs"),
        "{loud:?}"
    );
    let postponed = log.matches("Delivery postponed").count();
    assert!(postponed <= MAX_IN_FLIGHT, "{postponed}: {log}");
}

/// R3: a mail whose record fails is recorded later and not sent again, although the health check succeeds.
#[tokio::test]
async fn accepted_mail_whose_record_failed_is_not_resent() {
    let app = TestApp::new().await;
    app.users(1).await;
    let delivery = app.delivery();
    let (_, mail) = app.reset("user0@example.com").await;
    let trigger = if app.database.is_postgres() {
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$; \
         CREATE TRIGGER fail BEFORE UPDATE ON mails FOR EACH ROW WHEN (new.state = 'sent') EXECUTE FUNCTION fail()"
    } else {
        "CREATE TRIGGER fail BEFORE UPDATE ON mails WHEN new.state = 'sent' BEGIN SELECT RAISE(ABORT, 'refused'); END"
    };
    app.database.db.execute_unprepared(trigger).await.unwrap();
    for _ in 0..3 {
        delivery.deliver(mail).await.unwrap_err();
        // After the claim.
        app.clock.advance(TimeDelta::seconds(7));
    }
    let drop = if app.database.is_postgres() {
        "DROP TRIGGER fail ON mails"
    } else {
        "DROP TRIGGER fail"
    };
    app.database.db.execute_unprepared(drop).await.unwrap();

    assert_eq!(delivery.deliver(mail).await.unwrap(), Outcome::Sent);

    assert_eq!(app.sink.mails().len(), 1);
    assert_eq!(app.row(mail).await.state, MailState::Sent);
}

/// An error such as a deadlock fails one mail, and the others go on.
#[tokio::test]
async fn single_database_error_does_not_stop_deliveries() {
    let app = TestApp::new().await;
    let checks = Checks::new(&prometheus::Registry::new()).unwrap();
    let health = DatabaseHealth::new(&app.connections.db, &checks);

    assert!(!health.report(&DbErr::Custom("of a statement".to_owned())));
    assert!(health.report(&DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)));

    let available = timeout(WAIT_TIMEOUT, health.wait_until_available()).await;
    assert!(available.is_ok());
}

/// R2: operators learn which file is damaged, and the remedy.
#[tokio::test]
async fn sqlite_damaged_file_stops_worker_with_remedy() {
    let mut app = TestApp::on_sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    for damaged_from in [0, 4096] {
        let path = app.database.damaged_copy(folder.path(), damaged_from).await;
        app.set("DATABASE_URL", &format!("sqlite://{path}"));
        for command in ["run", "doctor"] {
            let (code, text) = app.process(&[command]).output().await;

            assert_eq!(code, Some(1), "{text}");
            for part in [&*path, "Restore it from a backup"] {
                assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
            }
            assert!(!text.contains("apt-get"), "{text}");
        }
    }
}
