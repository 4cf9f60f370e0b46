//! A database that goes away and comes back. SQLite is a file and does not go away.

use std::time::Duration;

use latchkey_testing::{Forwarder, variable};
use tokio::{process::Command, time::sleep};

use super::{Installation, addresses, scaled, user};

/// The way to the database, to be cut and mended.
enum Line {
    /// What stands between the programs and a server that others use, too.
    Forwarder(Forwarder),
    /// A command that stops the server itself, and starts it again: `CHAOS_POSTGRES stop`, `CHAOS_POSTGRES start`.
    Server(String),
}

impl Line {
    async fn cut(&self) {
        match self {
            Self::Forwarder(line) => line.cut(),
            Self::Server(command) => control(command, "stop").await,
        }
    }

    async fn mend(&self) {
        match self {
            Self::Forwarder(line) => line.mend().await,
            Self::Server(command) => control(command, "start").await,
        }
    }
}

async fn control(command: &str, what: &str) {
    let status = Command::new(command).arg(what).status().await.unwrap();
    assert!(status.success(), "{command} {what}: {status}");
}

#[tokio::test]
async fn a_postgresql_that_goes_away_is_waited_for_by_both_programs() {
    let mails = scaled(6, 30);
    let mut it = Installation::with_users(mails).await;
    if !it.world.database.is_postgres() {
        return;
    }
    let line = if let Some(command) = variable("CHAOS_POSTGRES") {
        Line::Server(command)
    } else {
        let (line, url) = Forwarder::before(it.world.database.url()).await;
        it.world.set("DATABASE_URL", &url);
        Line::Forwarder(line)
    };
    let (api, mut worker) = (it.api().await, it.worker().await);
    it.world.sink.stop();
    api.ask_for_all(0..mails / 2).await;
    it.all_tried().await;
    it.world.sink.restart();

    line.cut().await;
    assert_eq!(api.ask_for("refused@example.com").await, 503);
    worker.wait_for_line("Relay failed").await;
    sleep(scaled(Duration::ZERO, Duration::from_secs(10))).await;
    assert_eq!(api.ask_for("refused@example.com").await, 503);
    line.mend().await;

    for number in mails / 2..mails {
        api.ask_until_accepted(&user(number)).await;
    }
    it.all_sent(mails).await;
    it.report("PostgreSQL stopped").await.all_arrived(mails);
    assert!(!addresses(&it.world.sink.mails()).contains("refused@example.com"));
}
