//! The command `latchkey-api`.

use std::process::ExitCode;

use clap::Parser as _;
use latchkey_api::cli::{Cli, Command, commands};
use latchkey_shared::output;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report("latchkey-api", format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve().await,
        Command::Migrate => commands::migrate().await,
        Command::CreateSuperuser {
            email,
            username,
            password_stdin,
        } => commands::create_superuser(email, username, password_stdin).await,
        Command::Audit { command } => commands::audit(command).await,
        Command::Users { command } => commands::users(command).await,
        Command::UnusedPictures { remove } => commands::unused_pictures(remove).await,
        Command::Openapi { yaml, write } => commands::openapi(yaml, write.as_deref()),
    }
}
