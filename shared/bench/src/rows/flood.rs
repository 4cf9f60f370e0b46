//! A flood of logins: its effect on other requests, on itself and on memory.

use std::{sync::atomic::AtomicU64, thread, time::Duration};

use latchkey_api::config::hash_cost::HashCost;

use crate::{
    installation::{Installation, Running},
    limits,
    load::{Load, Outcome},
    measure::milliseconds,
    report::{Measurement, Target},
};

/// Twice the default of `HASH_QUEUE_SECONDS`, in milliseconds.
const MAX_LOGIN_MILLISECONDS: f64 = 10_000.0;

pub(super) fn flood(installation: &Installation) -> anyhow::Result<Vec<Measurement>> {
    let (api, size) = (installation.api(&[])?, installation.size());
    let next = AtomicU64::new(1);
    let write_get = |number: u64, request: &mut Vec<u8>| installation.write_get(number, request);
    let readers = Load {
        connections: 4,
        warm_up: Duration::from_millis(500),
        time: size.long_round_time() * 2,
        // Some 400 requests per second: users who are signed in, not a second flood.
        interval: Duration::from_millis(10),
        ..Load::new(size, &write_get, &next, 200)
    };
    thread::sleep(size.settle_time());
    let idle_memory = api.program.memory()?;
    let idle = readers.run(&[api.address])?;
    idle.rate()?;
    let write_login =
        |number: u64, request: &mut Vec<u8>| installation.write_login(number, request);
    let clients = size.flood_clients();
    let logins = Load {
        connections: clients,
        warm_up: Duration::from_secs(1),
        time: readers.time + Duration::from_secs(2),
        ..Load::new(size, &write_login, &next, 200)
    };
    let (during, logins) = run_together(&api, &readers, &logins)?;

    let [idle, during, login] =
        [idle, during, logins].map(|outcome| milliseconds(outcome.percentile(0.99)));
    let get = format!("GET, p99 under a login flood by {clients} connections / idle");
    let hash_memory = f64::from(HashCost::default().memory_kib) / 1024.0;
    let max_memory = idle_memory + limits::cores() as f64 * hash_memory + 32.0;
    Ok(vec![
        Measurement::new(get, during, "ms", Target::RatioAtMost(3.0))
            .with_limit(idle, during / idle),
        Measurement::new(
            "login, p99 under the flood, refusals included",
            login,
            "ms",
            Target::AtMost(MAX_LOGIN_MILLISECONDS),
        ),
        Measurement::new(
            "peak memory under the flood",
            api.program.peak_memory()?,
            "MiB",
            Target::AtMost(max_memory),
        ),
    ])
}

/// Runs the readers while the logins run. Logins may be refused.
fn run_together(
    api: &Running,
    readers: &Load,
    logins: &Load,
) -> anyhow::Result<(Outcome, Outcome)> {
    let (readers_outcome, logins) = thread::scope(|scope| {
        let logins = scope.spawn(|| logins.run(&[api.address]));
        thread::sleep(Duration::from_secs(1));
        (readers.run(&[api.address]), logins.join())
    });
    let (readers_outcome, logins) = (
        readers_outcome?,
        logins.map_err(|_| anyhow::anyhow!("the thread of the logins panicked"))??,
    );
    readers_outcome.rate()?;
    Ok((readers_outcome, logins))
}
