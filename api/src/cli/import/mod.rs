//! `latchkey-api import`

mod progress;
mod report;

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use latchkey_shared::{models::audit::EventKind, output::print_line, types::phone_number::Region};

use crate::{
    app_state::App,
    cli::{
        import::{progress::Progress, report::Report},
        startup::{by_operator, open},
    },
    import::{
        outcome::{Kind, Outcome, Summary},
        run::{self, Observer, Options},
        source::{Source, django::DjangoSource, jsonl::JsonlSource},
    },
};

/// The maximum number of invalid lines that the terminal shows. The report has all of them.
const MAX_DETAILS: usize = 10;

/// The sources of an import.
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Import the accounts of the Django original; can be repeated
    Django(ImportDjango),
    /// Import accounts from a file of JSON lines (deploy/docs/import-users.md); can be repeated
    Jsonl(ImportJsonl),
}

/// The arguments of `import django`.
#[derive(Debug, Args)]
pub(super) struct ImportDjango {
    /// URL of the original's database, on SQLite or PostgreSQL (password: PGPASSWORD or a .pgpass file). Only read
    #[arg(long, value_name = "URL")]
    from: String,
    #[command(flatten)]
    common: CommonArguments,
}

/// The arguments of `import jsonl`.
#[derive(Debug, Args)]
pub(super) struct ImportJsonl {
    /// File with one account in JSON on each line, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

/// The arguments of every import.
#[derive(Debug, Args)]
struct CommonArguments {
    /// Folder of the pictures that the source refers to. Without it, no pictures are imported
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// Country of phone numbers without a country code, such as EG. Without it, such numbers are dropped
    #[arg(long, value_name = "COUNTRY")]
    default_region: Option<Region>,
    /// Write nothing to the database and the picture folder of this installation
    #[arg(long)]
    dry_run: bool,
    /// File for one line of JSON for each row that was adjusted or skipped. Replaced if it exists
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs an import.
pub(super) async fn run(command: ImportCommand) -> anyhow::Result<()> {
    let app = open().await?;
    let (source, arguments) = match command {
        ImportCommand::Django(django) => {
            let source = DjangoSource::open(&django.from).await?;
            (Source::Django(source), django.common)
        }
        ImportCommand::Jsonl(jsonl) => {
            let source = JsonlSource::open(&jsonl.file).await?;
            (Source::Jsonl(source), jsonl.common)
        }
    };
    let options = Options {
        media: arguments.media.as_deref(),
        region: arguments.default_region,
        dry_run: arguments.dry_run,
    };
    let report = arguments
        .report
        .as_deref()
        .map(Report::create)
        .transpose()?;
    let mut follower = Follower {
        progress: Progress::default(),
        report,
        details: Vec::new(),
    };
    let summary = run::run(&app, source, &options, &mut follower).await?;
    follower.progress.finish();
    if !arguments.dry_run && summary.created + summary.changed > 0 {
        record(&app, &summary).await?;
    }
    for detail in &follower.details {
        print_line(detail)?;
    }
    print_line(describe(&summary, arguments.dry_run))?;
    Ok(())
}

/// Records one event for the whole run.
async fn record(app: &App, summary: &Summary) -> anyhow::Result<()> {
    let mut event = by_operator(EventKind::Admin, None, "imported accounts");
    event.changes = Some(format!(
        "created: {}\nchanged: {}",
        summary.created, summary.changed
    ));
    app.record(event).await?;
    Ok(())
}

/// Shows the progress, and writes the report.
struct Follower {
    progress: Progress,
    report: Option<Report>,
    /// Descriptions of the first invalid lines.
    details: Vec<String>,
}

impl Observer for Follower {
    fn start(&mut self, total: u64) {
        self.progress.start(total);
    }

    fn record(&mut self, outcome: &Outcome) -> std::io::Result<()> {
        self.progress.advance();
        if let (Some(line), Some(detail)) = (outcome.name.line, &outcome.detail)
            && self.details.len() < MAX_DETAILS
        {
            self.details.push(format!("line {line}: {detail}"));
        }
        match &mut self.report {
            Some(report) if outcome.outcome != Kind::Import => report.write(outcome),
            _ => Ok(()),
        }
    }
}

/// Returns the summary for the terminal.
fn describe(summary: &Summary, dry_run: bool) -> String {
    let verb = if dry_run { "Would create" } else { "Created" };
    let change = if dry_run { "change" } else { "changed" };
    let mut text = format!(
        "{verb} {} account(s), {change} {} of earlier runs.",
        summary.created, summary.changed
    );
    let count = |kind| summary.kinds.get(&kind).copied().unwrap_or(0);
    let _ = write!(
        text,
        "\nRows: {} imported as they are, {} adjusted, {} skipped.",
        count(Kind::Import),
        count(Kind::Adjust),
        count(Kind::Skip)
    );
    for (reason, count) in &summary.reasons {
        let name = serde_json::to_value(reason).unwrap_or_default();
        let _ = write!(
            text,
            "\n  {count:>8}  {}",
            name.as_str().unwrap_or_default()
        );
    }
    text
}
