//! The command line, as `deploy/bench` uses it, and the sizes of a run.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::installation::DatabaseKind;

/// Measures Latchkey in alternation with the limits of the machine.
#[derive(Debug, Parser)]
#[command(name = "latchkey-bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure, and print the table.
    Run(Options),
    /// Serve a constant of this many bytes over HTTP.
    Constant {
        body_bytes: usize,
        /// Serve the baseline's routes, which query this database before they respond.
        #[arg(long)]
        database: Option<String>,
    },
}

/// What to measure, and with which servers.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder of Latchkey's programs.
    #[arg(long)]
    pub(crate) programs: PathBuf,
    /// A folder on a real disk, for databases and logs.
    #[arg(long)]
    pub(crate) work: PathBuf,
    /// The URL of a Redis server.
    #[arg(long)]
    pub(crate) redis: String,
    /// The URL of a PostgreSQL server on which this program may create databases. Without it, only SQLite is measured.
    #[arg(long)]
    pub(crate) postgres: Option<String>,
    /// Skip SQLite.
    #[arg(long)]
    pub(crate) no_sqlite: bool,
    #[arg(long, value_enum, default_value = "full")]
    pub(crate) size: Size,
    /// Print one JSON object per result instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// The rows to measure. Default: all.
    rows: Vec<Row>,
}

impl Options {
    pub(crate) fn databases(&self) -> Vec<DatabaseKind> {
        let sqlite = (!self.no_sqlite).then_some(DatabaseKind::Sqlite);
        let postgres = self.postgres.as_ref().map(|_| DatabaseKind::Postgres);
        sqlite.into_iter().chain(postgres).collect()
    }

    /// Returns the selected rows in the order of the table.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Row::value_variants().to_vec();
        rows.retain(|row| self.rows.is_empty() || self.rows.contains(row));
        rows
    }
}

/// How long and how often a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// Shows only that each row can be measured.
    Smoke,
    /// Fewer and shorter rounds, for a first impression.
    Short,
    /// Results to publish.
    Full,
}

/// The rows of the table, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Row {
    Login,
    Get,
    Refresh,
    Patch,
    Register,
    EmailRequest,
    Mails,
    Latency,
    Start,
    Million,
    Import,
    Flood,
    Scale,
    Baseline,
}

impl Size {
    fn pick<T>(self, smoke: T, short: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Short => short,
            Self::Full => full,
        }
    }

    /// How long the other work of the machine is sampled before each row.
    pub(crate) fn sample_time(self) -> Duration {
        Duration::from_millis(self.pick(50, 1000, 1000))
    }

    /// The number of alternating rounds.
    pub(crate) fn rounds(self) -> usize {
        self.pick(1, 3, 5)
    }

    /// The time of one side of a round.
    pub(crate) fn round_time(self) -> Duration {
        Duration::from_millis(self.pick(500, 1500, 2500))
    }

    /// The time of one side of a round, for requests that take long.
    pub(crate) fn long_round_time(self) -> Duration {
        Duration::from_millis(self.pick(500, 4000, 6000))
    }

    /// The number of mails that one side of a round sends. The queue holds at most 4,000.
    pub(crate) fn mails(self) -> usize {
        self.pick(100, 1000, 3000)
    }

    /// The number of mails whose latency is measured.
    pub(crate) fn timed_mails(self) -> usize {
        self.pick(3, 100, 400)
    }

    /// The number of timed starts of each program.
    pub(crate) fn starts(self) -> usize {
        self.pick(1, 5, 15)
    }

    /// How long a program is left idle before its memory is measured.
    pub(crate) fn settle_time(self) -> Duration {
        Duration::from_millis(self.pick(100, 3000, 5000))
    }

    /// The number of concurrent clients in the login flood.
    pub(crate) fn flood_clients(self) -> usize {
        self.pick(20, 500, 500)
    }

    /// The number of accounts in the large database.
    pub(crate) fn many_accounts(self) -> u64 {
        self.pick(2_000, 100_000, 1_000_000)
    }
}
