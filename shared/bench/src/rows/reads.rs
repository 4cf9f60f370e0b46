//! Logins against hashes alone; requests with tokens against a constant of the same length.

use std::{sync::atomic::AtomicU64, time::Duration};

use latchkey_api::config::hash_cost::HashCost;
use serde_json::json;

use crate::{
    installation::Installation,
    limits,
    load::{self, Load},
    measure::alternate,
    report::{Measurement, Target},
};

pub(super) fn login(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (api, next, size) = (
        installation.api(&[])?,
        AtomicU64::new(1),
        installation.size(),
    );
    let request = |number: u64, request: &mut Vec<u8>| installation.write_login(number, request);
    // The hash queue serves this number of clients well within its timeout. The flood has more.
    let load = Load {
        time: size.long_round_time(),
        warm_up: Duration::from_millis(500),
        ..Load::new(size, &request, &next, 200)
    };
    let comparison = alternate(
        size,
        || load.sample(&[&api]),
        || limits::hashes(HashCost::default(), load.time),
    )?;
    Ok(vec![
        comparison.rate("login / argon2id alone", Target::RatioAtLeast(0.95)),
        comparison.cpu_time("login", Target::None),
    ])
}

pub(super) fn get(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| installation.write_get(number, request);
    let load = Load::new(installation.size(), &request, &next, 200);
    let name = "GET /api/user/";
    let mut measurements = against_constant(installation, name, &load, Target::AtMost(0.14))?;
    measurements.push(token_algorithms(installation)?);
    Ok(measurements)
}

/// Compares the CPU time with tokens of ES256 and of HS256 at one server.
fn token_algorithms(installation: &Installation) -> anyhow::Result<Measurement> {
    let (api, size, next) = (
        installation.api(&[])?,
        installation.size(),
        AtomicU64::new(1),
    );
    let es256 = |number: u64, request: &mut Vec<u8>| installation.write_get(number, request);
    let hs256 = |number: u64, request: &mut Vec<u8>| installation.write_get_hs256(number, request);
    let comparison = alternate(
        size,
        || Load::new(size, &es256, &next, 200).sample(&[&api]),
        || Load::new(size, &hs256, &next, 200).sample(&[&api]),
    )?;
    let name = "GET /api/user/: ES256 / HS256";
    Ok(comparison.cpu_time(name, Target::RatioAtMost(1.1)))
}

pub(super) fn refresh(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        let token = &installation.session(number).refresh;
        let body = json!({"refresh": token});
        load::write_json(request, "POST", "/auth/refresh/", "", &body);
    };
    let load = Load::new(installation.size(), &request, &next, 200);
    against_constant(installation, "POST /auth/refresh/", &load, Target::None)
}

/// Compares an operation with a constant of the same length.
fn against_constant(
    installation: &Installation,
    name: &str,
    load: &Load,
    cpu_target: Target,
) -> anyhow::Result<Vec<Measurement>> {
    let api = installation.api(&[])?;
    let mut example = Vec::new();
    (load.request)(0, &mut example);
    let (_, response) = load::send(api.address, &example)?;
    let length = response
        .split_once("\r\n\r\n")
        .map_or(0, |(_, body)| body.len());
    let constant = limits::start_constant(length, &installation.bench.options.work, None)?;
    let comparison = alternate(
        installation.size(),
        || load.sample(&[&api]),
        || load.sample_constant(&constant, &|_| "/".to_owned()),
    )?;
    Ok(vec![
        comparison.rate(
            format!("{name} / poem with a constant"),
            Target::RatioAtLeast(0.4),
        ),
        comparison.cpu_time(name, cpu_target),
    ])
}
