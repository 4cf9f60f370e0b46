//! Operations that write, against commits of one statement on a database of the same kind and size.

use std::sync::atomic::AtomicU64;

use serde_json::json;

use super::{CHEAP, CHEAP_SETTINGS};
use crate::{
    installation::Installation,
    limits::{Statement, Writer},
    load::{self, Load},
    measure::{Comparison, alternate},
    report::{Measurement, Target},
    seed::PASSWORD,
};

pub(super) fn patch(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        let body = json!({"username": format!("User {number}")});
        let access = &installation.session(number).access;
        load::write_json(request, "PATCH", "/api/user/", access, &body);
    };
    let load = Load::new(installation.size(), &request, &next, 200);
    let statement = Statement::Update(installation.accounts);
    let comparison = against_commits(installation, &load, &statement, false)?;
    Ok(vec![
        comparison.rate(
            "PATCH /api/user/ / UPDATE commits",
            Target::RatioAtLeast(0.5),
        ),
        comparison.cpu_time("PATCH /api/user/", Target::None),
    ])
}

pub(super) fn register(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        let body = json!({
            "email": format!("new{number}@example.com"), "username": format!("New {number}"), "password": PASSWORD,
            "phoneNumber": "+201001234567", "dateBirth": "1990-02-28", "gender": "female",
        });
        load::write_json(request, "POST", "/api/register/", "", &body);
    };
    let load = Load::new(installation.size(), &request, &next, 201);
    let comparison = against_commits(installation, &load, &Statement::InsertUser, false)?;
    Ok(vec![
        comparison.rate(
            "register without hash / INSERT commits",
            Target::RatioAtLeast(0.5),
        ),
        comparison.cpu_time("register without hash", Target::None),
    ])
}

pub(super) fn email_request(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        installation.write_email_request(number, request);
    };
    let load = Load::new(installation.size(), &request, &next, 201);
    let comparison = against_commits(installation, &load, &Statement::InsertReset, true)?;
    Ok(vec![
        comparison.rate(
            "email_request / INSERT commits, each with a push to Redis",
            Target::RatioAtLeast(0.6),
        ),
        comparison.rate_alone("email_request", Target::AtLeast(1_700.0)),
        comparison.cpu_time("email_request", Target::None),
    ])
}

/// Compares an operation with commits of one statement, each followed by a push to Redis if `redis` is set.
fn against_commits(
    installation: &Installation,
    load: &Load,
    statement: &Statement,
    redis: bool,
) -> anyhow::Result<Comparison> {
    let (bench, api) = (installation.bench, installation.api(&CHEAP_SETTINGS)?);
    let twin = Installation::new(bench, installation.kind, installation.accounts, CHEAP)?;
    let writer = bench.runtime.block_on(Writer::connect(&twin.url))?;
    let redis = if redis {
        let client = redis::Client::open(bench.options.redis.as_str())?;
        let connection = redis::aio::ConnectionManager::new(client);
        Some(bench.runtime.block_on(connection)?)
    } else {
        None
    };
    let next = AtomicU64::new(1);
    let commits = || writer.commits(statement, redis.as_ref(), &next, load.time);
    alternate(
        installation.size(),
        || load.sample(&[&api]),
        || Ok(bench.runtime.block_on(commits())?.into()),
    )
}
