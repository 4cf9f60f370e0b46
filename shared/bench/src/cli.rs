//! The command line, as `deploy/bench` writes it, and how much of everything its options mean.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures Latchkey beside its limits.
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
    /// Serve a constant of so many bytes: the limit of what answers over HTTP.
    Constant {
        body: usize,
        /// Ask this one before each answer.
        #[arg(long)]
        database: Option<String>,
    },
}

/// What to measure, on what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder of the programs.
    #[arg(long)]
    pub(crate) programs: PathBuf,
    /// A folder on a real disk.
    #[arg(long)]
    pub(crate) work: PathBuf,
    #[arg(long)]
    pub(crate) redis: String,
    /// A PostgreSQL in which databases can be made. Without one only SQLite is measured.
    #[arg(long)]
    pub(crate) postgres: Option<String>,
    /// Leaves SQLite out.
    #[arg(long)]
    pub(crate) no_sqlite: bool,
    #[arg(long, value_enum, default_value = "full")]
    pub(crate) size: Size,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which rows; all when none is named.
    pub(crate) rows: Vec<Row>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// Whether it measures at all.
    Smoke,
    /// A first impression.
    Short,
    /// What can be quoted.
    Full,
}

/// The lines of the table.
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
    Flood,
    Scale,
    Bare,
}

impl Size {
    fn pick<T>(self, smoke: T, short: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Short => short,
            Self::Full => full,
        }
    }

    /// How long the machine is looked at before each row.
    pub(crate) fn glance(self) -> Duration {
        Duration::from_millis(self.pick(50, 1000, 1000))
    }

    /// How often Latchkey and its limit take turns.
    pub(crate) fn rounds(self) -> usize {
        self.pick(1, 3, 5)
    }

    /// How long one of them has each time.
    pub(crate) fn turn(self) -> Duration {
        Duration::from_millis(self.pick(500, 1500, 2500))
    }

    /// The same where one answer takes long.
    pub(crate) fn long_turn(self) -> Duration {
        Duration::from_millis(self.pick(500, 4000, 6000))
    }

    /// How many mails are sent in one turn; the queue holds no more than 4,000.
    pub(crate) fn mails(self) -> usize {
        self.pick(100, 1000, 3000)
    }

    /// How many mails are timed one by one.
    pub(crate) fn timed_mails(self) -> usize {
        self.pick(3, 100, 400)
    }

    /// How often a program is started.
    pub(crate) fn starts(self) -> usize {
        self.pick(1, 5, 15)
    }

    /// How long a program is left alone before its memory counts as idle.
    pub(crate) fn rest(self) -> Duration {
        Duration::from_millis(self.pick(100, 3000, 5000))
    }

    /// How many clients log in at once in the flood.
    pub(crate) fn flood(self) -> usize {
        self.pick(20, 500, 500)
    }

    /// The accounts of the large database.
    pub(crate) fn many(self) -> u64 {
        self.pick(2_000, 100_000, 1_000_000)
    }
}
