//! The command `latchkey-api`.

use std::process::ExitCode;

use clap::Parser as _;
use latchkey_api::cli::Cli;
use latchkey_shared::{file_size_limit, output};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let result = Runtime::new().map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(run());
        // Waits for no thread that a hanging MEDIA_DIR blocks. All other calls have been awaited.
        runtime.shutdown_background();
        result
    });
    match result {
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
