//! Mails: how many a worker sends per second, and how soon after the response.

use std::{
    sync::atomic::AtomicU64,
    thread,
    time::{Duration, Instant},
};

use super::CHEAP;
use crate::{
    installation::Installation,
    limits,
    load::{self, Load},
    measure::{Sample, alternate, cpu_time, milliseconds},
    report::{Measurement, Target},
};

/// Measures one worker against lettre alone.
pub(super) fn rate(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (bench, size) = (installation.bench, installation.size());
    let installation = &for_mails(installation)?;
    let lettre = || limits::mails(bench.sink.address, size.mails());
    let comparison = alternate(
        size,
        || send_queued(installation, 1),
        || Ok(bench.runtime.block_on(lettre())?.into()),
    )?;
    Ok(vec![
        comparison.rate(
            "mails by one worker / lettre alone",
            Target::RatioAtLeast(0.7),
        ),
        comparison.cpu_time("mails by one worker", Target::None),
    ])
}

/// Creates an installation with one account for each mail of a round.
pub(super) fn for_mails<'a>(installation: &Installation<'a>) -> anyhow::Result<Installation<'a>> {
    let accounts = installation.size().mails() as u64;
    Installation::new(installation.bench, installation.kind, accounts, CHEAP)
}

/// Queues a round's mails through the API while no worker runs.
fn fill_outbox(installation: &Installation) -> anyhow::Result<()> {
    let (api, next) = (installation.api(&[])?, AtomicU64::new(0));
    let request = |number: u64, request: &mut Vec<u8>| {
        installation.write_email_request(number, request);
    };
    let load = Load {
        warm_up: Duration::ZERO,
        time: Duration::from_mins(2),
        end: installation.accounts,
        ..Load::new(installation.size(), &request, &next, 201)
    };
    load.run(&[api.address])?.rate()?;
    Ok(())
}

/// Measures the mails per second of `workers` workers that find a round's mails queued.
pub(super) fn send_queued(installation: &Installation, workers: usize) -> anyhow::Result<Sample> {
    let (sink, mails) = (&installation.bench.sink, installation.size().mails());
    sink.clear();
    fill_outbox(installation)?;
    let running: Vec<_> = (0..workers)
        .map(|_| installation.worker())
        .collect::<anyhow::Result<_>>()?;
    let received = sink.wait_for(mails)?;
    let servers: Vec<_> = running.iter().collect();
    // Includes the workers' start, some 20 to 30 ms.
    let cpu_time = milliseconds(cpu_time(&servers)?) / mails as f64;
    let (first, last) = (received.values().min(), received.values().max());
    let time = last
        .zip(first)
        .map_or(Duration::ZERO, |(last, first)| *last - *first);
    // The workers record the last deliveries outside of the other side's time.
    thread::sleep(Duration::from_millis(300));
    Ok(Sample {
        value: (mails - 1) as f64 / time.as_secs_f64(),
        cpu_time: Some(cpu_time),
    })
}

/// Measures the time from the API's response to the acceptance of the mail by the SMTP server.
pub(super) fn latency(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (bench, size) = (installation.bench, installation.size());
    let accounts = size.timed_mails() as u64;
    let installation = &Installation::new(bench, installation.kind, accounts, CHEAP)?;
    let (api, _worker) = (installation.api(&[])?, installation.worker()?);
    thread::sleep(size.settle_time());
    bench.sink.clear();
    let mut responses = Vec::new();
    for number in 0..accounts {
        let mut request = Vec::new();
        installation.write_email_request(number, &mut request);
        let (status, _) = load::send(api.address, &request)?;
        anyhow::ensure!(status == 201, "email_request returned {status}");
        responses.push((number + 1, Instant::now()));
        // Varying pauses do not synchronize with the worker's timers.
        thread::sleep(Duration::from_micros(40_000 + number * 7_919 % 30_000));
    }
    let received = bench.sink.wait_for(size.timed_mails())?;
    let mut times: Vec<_> = responses
        .iter()
        .filter_map(|(account, response)| {
            let received = received.get(&format!("u{account}@example.com"))?;
            Some(received.saturating_duration_since(*response))
        })
        .collect();
    times.sort_unstable();
    let percentiles = [("p50", 0.5, 15.0), ("p99", 0.99, 50.0)];
    let measurements = percentiles.map(|(name, part, target)| {
        let name = format!("response → accepted by SMTP, idle, {name}");
        let time = milliseconds(load::percentile(&times, part));
        Measurement::new(name, time, "ms", Target::AtMost(target))
    });
    Ok(measurements.into())
}
