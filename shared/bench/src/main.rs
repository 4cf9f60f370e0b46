//! Measures Latchkey from outside, and in turns with it what the same machine can do at all. `deploy/bench` builds it and
//! gives it Redis and PostgreSQL.
//!
//! `rows` has a function for each line of the table, `limits` what they are compared with, `bare` what the packages leave of
//! that, `load` the client, `sink` the SMTP server, `stage` databases and programs, `report` the table.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts of what was measured, far from any bound"
)]

use std::process::ExitCode;

use clap::Parser as _;

mod bare;
mod cli;
mod dashboard;
mod limits;
mod load;
mod process;
mod report;
mod rows;
mod sink;
mod stage;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(options) => rows::run(&options),
        Command::Constant { body, database } => limits::serve_constant(body, database.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchkey-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
