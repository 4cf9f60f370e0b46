//! The command `latchkey-api`.

use std::process::ExitCode;

use clap::Parser as _;
use latchkey_api::cli::Cli;
use latchkey_shared::{file_size_limit, output};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report("latchkey-api", format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    file_size_limit::fail_writes_only()?;
    cli.run().await
}
