//! The rows of the table, each measured in alternation with its limit.

use std::time::Instant;

use latchkey_api::config::hash_cost::HashCost;

use crate::{
    cli::{Options, Row},
    installation::{Bench, Installation},
    process,
    report::{Measurement, Report},
    seed::SESSIONS,
};

mod baseline;
mod flood;
mod import;
mod mail;
mod reads;
mod resources;
mod writes;

/// The lowest cost of a hash, for rows that do not measure hashes.
const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    iterations: 1,
    parallelism: 1,
};
/// [`CHEAP`] as the API's settings.
const CHEAP_SETTINGS: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")];

/// Measures the selected rows with each database and prints the report.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::new(options)?;
    let mut report = Report::default();
    for database in options.databases() {
        let installation = Installation::new(&bench, database, SESSIONS, HashCost::default())?;
        let mut measurements = Vec::new();
        for row in options.rows() {
            let other_work = process::other_work(options.size.sample_time())?;
            report.other_work.push(other_work);
            let start = Instant::now();
            measurements.extend(measure(row, &installation)?);
            eprintln!(
                "{}, {row:?}: {} s",
                database.name(),
                start.elapsed().as_secs()
            );
        }
        report.results.push((database, measurements));
    }
    report.print(options.json)
}

fn measure(row: Row, installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    match row {
        Row::Login => reads::login(installation),
        Row::Get => reads::get(installation),
        Row::Refresh => reads::refresh(installation),
        Row::Patch => writes::patch(installation),
        Row::Register => writes::register(installation),
        Row::EmailRequest => writes::email_request(installation),
        Row::Mails => mail::rate(installation),
        Row::Latency => mail::latency(installation),
        Row::Start => resources::start(installation),
        Row::Million => resources::million(installation),
        Row::Import => import::import(installation),
        Row::Flood => flood::flood(installation),
        Row::Scale => resources::scale(installation),
        Row::Baseline => baseline::baseline(installation),
    }
}
