//! `latchkey-api pictures`

use anyhow::Context as _;
use chrono::TimeDelta;
use clap::Subcommand;
use latchkey_shared::{
    clock::Clock, config::settings::Settings, models::user, output::print_line,
    telemetry::trace::Traces,
};

use crate::{accounts::pictures::PictureStore, cli::startup::start_log, config::Config};

/// The commands for profile pictures.
#[derive(Debug, Subcommand)]
pub(super) enum PicturesCommand {
    /// Remove pictures older than a day that no account uses, such as those of an upload whose commit was not confirmed
    Prune {
        /// Only list them
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs a command for profile pictures.
pub(super) async fn run(PicturesCommand::Prune { dry_run }: PicturesCommand) -> anyhow::Result<()> {
    let config = Config::read(Settings::from_environment())?;
    start_log(&config.common, &Traces::off())?;
    let db = config.common.connect_database().await?;
    let store = PictureStore::new(
        &config.accounts.media_dir,
        &config.common.public_url,
        config.accounts.picture_max_size,
    );
    // Lists the files before the rows, so that a picture stored in between is kept. A file older than a day belongs to no
    // request that is still running.
    let yesterday = Clock::system().now() - TimeDelta::days(1);
    let files = store.written_before(yesterday.into()).with_context(|| {
        format!(
            "MEDIA_DIR: cannot read {}",
            config.accounts.media_dir.display()
        )
    })?;
    let used = user::pictures(&db).await?;
    let unused: Vec<_> = files.iter().filter(|name| !used.contains(*name)).collect();
    for name in &unused {
        print_line(name)?;
        if !dry_run {
            store.remove(name).await;
        }
    }
    let (unused, files) = (unused.len(), files.len());
    if dry_run {
        print_line(format_args!("{unused} of {files} picture(s) are unused."))?;
    } else {
        print_line(format_args!("Removed {unused} of {files} picture(s)."))?;
    }
    Ok(())
}
