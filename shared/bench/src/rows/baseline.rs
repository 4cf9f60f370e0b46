//! The baseline: the part of each limit that remains with the dependencies of a GET, a refresh, a login and a worker.

use std::sync::atomic::AtomicU64;

use latchkey_api::config::hash_cost::HashCost;

use crate::{
    baseline,
    installation::{DatabaseKind, Installation, Running},
    limits,
    load::Load,
    measure::alternate,
    report::{Measurement, Target},
};

/// The length of the response to `GET /api/user/`, in bytes.
const RESPONSE_BYTES: usize = 140;

pub(super) fn baseline(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (options, size) = (installation.bench.options, installation.size());
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| installation.write_get(number, request);
    let load = Load::new(size, &request, &next, 200);
    let database = limits::start_constant(RESPONSE_BYTES, &options.work, Some(&installation.url))?;
    let constant = limits::start_constant(RESPONSE_BYTES, &options.work, None)?;
    let mut measurements = Vec::new();
    for (route, name) in [
        ("session", "session look-up behind poem"),
        ("session-use", "session look-up and update of its last use"),
    ] {
        let path = |number| format!("/{route}/{}", installation.session(number).id);
        let comparison = alternate(
            size,
            || load.sample_constant(&database, &path),
            || load.sample_constant(&constant, &|_| "/".to_owned()),
        )?;
        let name = format!("baseline: {name} / poem with a constant");
        measurements.push(comparison.rate(name, Target::None));
    }
    // The other rows do not use the database: measure them once.
    if installation.kind == DatabaseKind::Sqlite || options.no_sqlite {
        measurements.extend(without_database(installation, &load, &database)?);
    }
    Ok(measurements)
}

/// Measures the verification of a password behind poem, and mails by apalis and lettre.
fn without_database(
    installation: &Installation,
    load: &Load,
    server: &Running,
) -> anyhow::Result<[Measurement; 2]> {
    let (bench, size) = (installation.bench, installation.size());
    let load = Load {
        time: size.long_round_time(),
        ..*load
    };
    let hashes = alternate(
        size,
        || load.sample_constant(server, &|_| "/password".to_owned()),
        || limits::hashes(HashCost::default(), load.time),
    )?;
    let (sink, redis) = (bench.sink.address, &bench.options.redis);
    let mails = alternate(
        size,
        || {
            let mails = baseline::mails(redis, sink, size.mails());
            Ok(bench.runtime.block_on(mails)?.into())
        },
        || {
            let mails = limits::mails(sink, size.mails());
            Ok(bench.runtime.block_on(mails)?.into())
        },
    )?;
    Ok([
        hashes.rate(
            "baseline: password verification behind poem / argon2id alone",
            Target::None,
        ),
        mails.rate(
            "baseline: mails by apalis and lettre / lettre alone",
            Target::None,
        ),
    ])
}
