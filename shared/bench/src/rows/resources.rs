//! Start, idle memory, large databases, and two processes instead of one.

use std::{sync::atomic::AtomicU64, thread};

use super::{
    CHEAP, CHEAP_SETTINGS,
    mail::{for_mails, send_queued},
};
use crate::{
    cli::Size,
    dashboard::Administrator,
    installation::{DatabaseKind, Installation, Running},
    load::{Load, WriteRequest},
    measure::{alternate, median, milliseconds},
    report::{Measurement, Target, thousands},
};

pub(super) fn start(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    // A new installation without queued mails, so that the worker is idle.
    let (bench, size) = (installation.bench, installation.size());
    let installation = &Installation::new(bench, installation.kind, installation.accounts, CHEAP)?;
    let mut measurements = Vec::new();
    for (name, max_mib) in [("api", 20.0), ("worker", 12.0)] {
        let start = || match name {
            "api" => installation.timed_api(&[]),
            _ => installation.timed_worker(),
        };
        let mut times = Vec::new();
        for _ in 1..size.starts() {
            times.push(milliseconds(start()?.1));
        }
        let (running, time) = start()?;
        times.push(milliseconds(time));
        thread::sleep(size.settle_time());
        let (start, idle) = (
            format!("{name}: start to first 200"),
            format!("{name}: idle memory (PSS)"),
        );
        let memory = running.program.memory()?;
        measurements.extend([
            Measurement::new(start, median(times), "ms", Target::AtMost(60.0)),
            Measurement::new(idle, memory, "MiB", Target::AtMost(max_mib)),
        ]);
    }
    Ok(measurements)
}

/// An API server on a database of some size, and the request that is timed on it.
struct Side<'a> {
    accounts: u64,
    api: &'a Running,
    request: WriteRequest<'a>,
}

/// Compares response times with a large and a small database.
pub(super) fn million(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (bench, kind, size) = (installation.bench, installation.kind, installation.size());
    let few = &Installation::new(bench, kind, installation.accounts, CHEAP)?;
    let many = &Installation::new(bench, kind, size.many_accounts(), CHEAP)?;
    let (few_api, many_api) = (few.api(&CHEAP_SETTINGS)?, many.api(&CHEAP_SETTINGS)?);
    let few_admin = Administrator::sign_in(&few_api)?;
    let many_admin = Administrator::sign_in(&many_api)?;
    let small_side = |request| Side {
        accounts: few.accounts,
        api: &few_api,
        request,
    };
    let large_side = |request| Side {
        accounts: many.accounts,
        api: &many_api,
        request,
    };
    Ok(vec![
        // At its real cost, the hash would dominate both sides.
        compare_latency(
            size,
            ("login without hash", 1.2, 0.5),
            &large_side(&|number, request| many.write_login(number, request)),
            &small_side(&|number, request| few.write_login(number, request)),
        )?,
        compare_latency(
            size,
            ("GET /api/user/", 1.2, 0.5),
            &large_side(&|number, request| many.write_get(number, request)),
            &small_side(&|number, request| few.write_get(number, request)),
        )?,
        compare_latency(
            size,
            ("list page (/admin/users/), p95", 3.0, 0.95),
            &large_side(&|number, request| many_admin.write_request(number, request)),
            &small_side(&|number, request| few_admin.write_request(number, request)),
        )?,
    ])
}

/// Compares a percentile of the response times of a single client.
fn compare_latency(
    size: Size,
    (name, max_ratio, percentile): (&str, f64, f64),
    large: &Side,
    small: &Side,
) -> anyhow::Result<Measurement> {
    let next = AtomicU64::new(1);
    let time = |side: &Side| {
        let load = Load {
            connections: 1,
            ..Load::new(size, side.request, &next, 200)
        };
        let outcome = load.run(&[side.api.address])?;
        outcome.rate()?;
        Ok(milliseconds(outcome.percentile(percentile)).into())
    };
    let comparison = alternate(size, || time(large), || time(small))?;
    let (large, small) = (thousands(large.accounts), thousands(small.accounts));
    let name = format!("{name}: {large} accounts / {small}");
    Ok(comparison.latency(name, Target::RatioAtMost(max_ratio)))
}

/// Compares two workers with one, and on PostgreSQL two APIs with one.
pub(super) fn scale(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let size = installation.size();
    let mails = &for_mails(installation)?;
    let workers = alternate(size, || send_queued(mails, 2), || send_queued(mails, 1))?;
    let mut measurements = vec![
        workers.scaling("workers"),
        workers.rate("mails: 2 workers / 1, on these cores", Target::None),
    ];
    if installation.kind == DatabaseKind::Postgres {
        let (first, second) = (installation.api(&[])?, installation.api(&[])?);
        let next = AtomicU64::new(1);
        let request = |number: u64, request: &mut Vec<u8>| installation.write_get(number, request);
        let load = Load::new(size, &request, &next, 200);
        // Each API has the same number of clients, because concurrent look-ups share a statement.
        let twice = Load {
            connections: 2 * load.connections,
            ..load
        };
        let apis = alternate(
            size,
            || twice.sample(&[&first, &second]),
            || load.sample(&[&first]),
        )?;
        let name = "GET: 2 APIs with twice the clients / 1, on these cores";
        measurements.extend([apis.scaling("APIs"), apis.rate(name, Target::None)]);
    }
    Ok(measurements)
}
