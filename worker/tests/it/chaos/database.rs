//! An outage of PostgreSQL. SQLite is a file and has no outages.

use std::time::Duration;

use latchkey_testing::{Forwarder, variable};
use tokio::{process::Command, time::sleep};

use super::{Installation, addresses, scaled, user};

/// The connection to the database, which the test interrupts and restores.
enum DatabaseLink {
    /// A forwarder in front of a server that other tests use, too.
    Forwarder(Forwarder),
    /// A command that stops and starts the server: `CHAOS_POSTGRES stop`, `CHAOS_POSTGRES start`.
    Server(String),
}

impl DatabaseLink {
    async fn interrupt(&self) {
        match self {
            Self::Forwarder(forwarder) => forwarder.stop(),
            Self::Server(command) => control(command, "stop").await,
        }
    }

    async fn restore(&self) {
        match self {
            Self::Forwarder(forwarder) => forwarder.restart().await,
            Self::Server(command) => control(command, "start").await,
        }
    }
}

async fn control(command: &str, what: &str) {
    let status = Command::new(command).arg(what).status().await.unwrap();
    assert!(status.success(), "{command} {what}: {status}");
}

/// During the outage a request returns 503 and stores nothing. Afterwards both programs reconnect, and every accepted mail arrives.
#[tokio::test]
async fn postgres_outage_both_programs_recover() {
    let mails = scaled(6, 30);
    let mut it = Installation::on_postgres(mails).await;
    let link = if let Some(command) = variable("CHAOS_POSTGRES") {
        DatabaseLink::Server(command)
    } else {
        let (forwarder, url) = Forwarder::start(it.app.database.url()).await;
        it.app.set("DATABASE_URL", &url);
        DatabaseLink::Forwarder(forwarder)
    };
    let (api, mut worker) = (it.api().await, it.worker().await);
    it.app.sink.stop();
    api.request_codes(0..mails / 2).await;
    it.wait_until_all_attempted().await;
    it.app.sink.restart();

    link.interrupt().await;
    assert_eq!(api.request_code("refused@example.com").await, 503);
    worker.wait_for_line("Dependency failed").await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(10))).await;
    assert_eq!(api.request_code("refused@example.com").await, 503);
    link.restore().await;

    for number in mails / 2..mails {
        api.request_code_until_accepted(&user(number)).await;
    }
    it.wait_until_all_sent(mails).await;
    it.report("PostgreSQL stopped")
        .await
        .assert_none_lost(mails);
    assert!(!addresses(&it.app.sink.mails()).contains("refused@example.com"));
}
