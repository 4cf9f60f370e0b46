//! `latchkey-api export`

use std::{
    fs::File,
    io::{self, BufWriter, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use latchkey_shared::{models::audit::EventKind, output::print_line};

use crate::{
    app_state::App,
    cli::{
        private_file,
        startup::{by_operator, open},
    },
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
    let mut output = BufWriter::new(file);
    let count = export::jsonl(&app.db, &mut output).await?;
    let file = output
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    print_line(format_args!("Exported {count} account(s)."))?;
    Ok(())
}

fn create(arguments: &ExportJsonl) -> anyhow::Result<File> {
    let path = &arguments.file;
    let created = if arguments.overwrite {
        private_file::replace(path)
    } else {
        private_file::create(path)
    };
    match created {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists; --overwrite replaces it", path.display())
        }
        created => created.with_context(|| format!("cannot write {}", path.display())),
    }
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
