//! The command `latchkey-api`.

use std::process::ExitCode;

use clap::Parser as _;
use latchkey_api::cli::Cli;
use latchkey_shared::output;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report("latchkey-api", format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
