//! `latchkey-api export`

use std::{
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use latchkey_shared::{models::audit::EventKind, output::print_line};
use tempfile::NamedTempFile;

use crate::{
    app_state::App,
    cli::startup::{by_operator, open},
    export,
};

/// The formats of an export.
#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Export all accounts with their password hashes, in the format of `import jsonl`
    Jsonl(ExportJsonl),
}

/// The arguments of `export jsonl`.
#[derive(Debug, Args)]
pub(super) struct ExportJsonl {
    /// File to create, which only its owner can read, or - for standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

/// Runs an export.
pub(super) async fn run(ExportCommand::Jsonl(arguments): ExportCommand) -> anyhow::Result<()> {
    let app = open().await?;
    if arguments.file == Path::new("-") {
        record(&app).await?;
        // Does not lock stdout, because the log of a failed query may have to be written to it.
        export::jsonl(&app.db, &mut BufWriter::new(io::stdout())).await?;
        return Ok(());
    }
    let file = create(&arguments)?;
    record(&app).await?;
    let count = export::jsonl(&app.db, &mut BufWriter::new(file.as_file())).await?;
    file.as_file().sync_all()?;
    store(file, &arguments)?;
    print_line(format_args!("Exported {count} account(s)."))?;
    Ok(())
}

/// Creates a temporary file beside the file of the arguments. Only its owner can read it.
fn create(arguments: &ExportJsonl) -> anyhow::Result<NamedTempFile> {
    let path = &arguments.file;
    if let Ok(found) = path.symlink_metadata() {
        if !arguments.overwrite {
            bail!("{} exists; --overwrite replaces it", path.display());
        }
        if !found.is_file() {
            bail!("{} is not a regular file", path.display());
        }
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let created = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
    created.with_context(|| format!("cannot write {}", path.display()))
}

/// Gives the complete file its name. So a failed export leaves an earlier file as it was.
fn store(file: NamedTempFile, arguments: &ExportJsonl) -> anyhow::Result<()> {
    let path = &arguments.file;
    let stored = if arguments.overwrite {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    stored.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Records the export before any hash leaves the database.
async fn record(app: &App) -> anyhow::Result<()> {
    let event = by_operator(
        EventKind::Admin,
        None,
        "exported accounts with password hashes",
    );
    app.record(event).await?;
    Ok(())
}
