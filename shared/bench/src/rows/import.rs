//! Imports and exports of many accounts.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    installation::Installation,
    original,
    report::{Measurement, Target, thousands},
};

/// The interval between two reads of a command's memory.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Imports a database of the Django original into an empty installation, and exports the installation.
pub(super) fn import(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (bench, kind, size) = (installation.bench, installation.kind, installation.size());
    let accounts = size.many_accounts();
    let source = installation.new_database("original")?;
    let created = original::create(&source, kind, accounts);
    bench.runtime.block_on(created)?;
    let empty = Installation::migrated(bench, kind)?;
    let number = thousands(accounts);
    let mut measurements = command(
        &empty,
        &["import", "django", "--from", &source],
        &format!("import of {number} accounts"),
        accounts,
    )?;
    let imported = bench.runtime.block_on(empty.count_accounts())?;
    anyhow::ensure!(
        imported == accounts,
        "only {imported} accounts were imported"
    );
    let file = empty.file("users.jsonl");
    let file = file.to_str().context("a path that is not UTF-8")?;
    measurements.extend(command(
        &empty,
        &["export", "jsonl", file],
        &format!("export of {number} accounts"),
        accounts,
    )?);
    Ok(measurements)
}

/// Runs a command and measures its time and memory.
fn command(
    installation: &Installation,
    arguments: &[&str],
    name: &str,
    accounts: u64,
) -> anyhow::Result<Vec<Measurement>> {
    let start = Instant::now();
    let mut program = installation.command(arguments)?;
    let mut peak = 0.0;
    while program.is_running() {
        // The read fails if the program has just exited. The kernel reports the peak so far.
        peak = program.peak_memory().unwrap_or(peak);
        thread::sleep(POLL_INTERVAL);
    }
    let seconds = start.elapsed().as_secs_f64();
    program.wait().with_context(|| arguments.join(" "))?;
    let rate = accounts as f64 / seconds;
    Ok(vec![
        Measurement::new(name, seconds, "s", Target::AtMost(300.0)),
        Measurement::new(format!("{name}: rate"), rate, "/s", Target::None),
        Measurement::new(
            format!("{name}: peak memory (RSS)"),
            peak,
            "MiB",
            Target::AtMost(300.0),
        ),
    ])
}
