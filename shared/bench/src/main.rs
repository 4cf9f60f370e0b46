//! Measures Latchkey from outside, in alternation with the limits of the same machine. `deploy/bench` builds this program
//! and starts Redis and PostgreSQL for it.
//!
//! - `rows`: one function for each row of the table
//! - `limits`, `baseline`: what the rows are compared with
//! - `load`, `dashboard`: the HTTP clients; `smtp_sink`: the SMTP server
//! - `installation`, `seed`, `original`, `process`: databases with accounts, and the programs under test
//! - `measure`, `report`: alternating rounds, and the table

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the converted counts are far below 2^52"
)]

use std::process::ExitCode;

use clap::Parser as _;

mod baseline;
mod cli;
mod dashboard;
mod installation;
mod limits;
mod load;
mod measure;
mod original;
mod process;
mod report;
mod rows;
mod seed;
mod smtp_sink;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(options) => rows::run(&options),
        Command::Constant {
            body_bytes,
            database,
        } => limits::serve_constant(body_bytes, database.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchkey-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
