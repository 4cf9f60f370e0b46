//! Measurements of Latchkey in alternation with its limit.

use std::time::Duration;

use crate::{
    cli::Size,
    installation::Running,
    load::{self, Load},
    report::{Measurement, Target},
};

/// The result of one side of a round.
pub(crate) struct Sample {
    /// Operations per second, or the time of one in milliseconds.
    pub(crate) value: f64,
    /// CPU time per operation in milliseconds, where it is measured.
    pub(crate) cpu_time: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self {
            value,
            cpu_time: None,
        }
    }
}

/// Latchkey and its limit, as medians over the rounds.
pub(crate) struct Comparison {
    value: f64,
    limit: f64,
    /// The median of the rounds' ratios, not the ratio of the medians.
    ratio: f64,
    cpu_time: Option<f64>,
    limit_cpu_time: Option<f64>,
}

/// Measures both sides in alternation. The side that is measured first changes with each round.
pub(crate) fn alternate(
    size: Size,
    mut latchkey: impl FnMut() -> anyhow::Result<Sample>,
    mut limit: impl FnMut() -> anyhow::Result<Sample>,
) -> anyhow::Result<Comparison> {
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for round in 0..size.rounds() {
        if round % 2 == 0 {
            values.push(latchkey()?);
            limits.push(limit()?);
        } else {
            limits.push(limit()?);
            values.push(latchkey()?);
        }
    }
    let ratios = values.iter().zip(&limits);
    let ratios = ratios.map(|(value, limit)| value.value / limit.value);
    let value_of = |samples: &[Sample]| median(samples.iter().map(|sample| sample.value));
    let cpu_time_of = |samples: &[Sample]| {
        let times: Option<Vec<_>> = samples.iter().map(|sample| sample.cpu_time).collect();
        times.map(median)
    };
    Ok(Comparison {
        ratio: median(ratios),
        value: value_of(&values),
        limit: value_of(&limits),
        cpu_time: cpu_time_of(&values),
        limit_cpu_time: cpu_time_of(&limits),
    })
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    load::percentile(&values, 0.5)
}

impl Comparison {
    /// Returns operations per second and those of the limit.
    pub(crate) fn rate(&self, name: impl Into<String>, target: Target) -> Measurement {
        Measurement::new(name, self.value, "/s", target).with_limit(self.limit, self.ratio)
    }

    /// Returns operations per second without the limit's.
    pub(crate) fn rate_alone(&self, name: impl Into<String>, target: Target) -> Measurement {
        Measurement::new(name, self.value, "/s", target)
    }

    /// Returns times in milliseconds.
    pub(crate) fn latency(&self, name: impl Into<String>, target: Target) -> Measurement {
        Measurement::new(name, self.value, "ms", target).with_limit(self.limit, self.ratio)
    }

    /// Returns the CPU time per operation, and that of the limit if it was measured.
    pub(crate) fn cpu_time(&self, name: &str, target: Target) -> Measurement {
        let cpu_time = self.cpu_time.unwrap_or(f64::NAN);
        let measurement = Measurement::new(format!("{name}, CPU time"), cpu_time, "ms", target);
        match self.limit_cpu_time {
            Some(limit) => measurement.with_limit(limit, cpu_time / limit),
            None => measurement,
        }
    }

    /// Returns the throughput of two processes on twice the cores as a multiple of one: 2, less the additional CPU time per
    /// job.
    pub(crate) fn scaling(&self, processes: &str) -> Measurement {
        let (two, one) = (self.cpu_time, self.limit_cpu_time);
        let (two, one) = (two.unwrap_or(f64::NAN), one.unwrap_or(f64::NAN));
        let name = format!("2 {processes} / 1, by CPU time per job");
        Measurement::new(name, two, "ms", Target::RatioAtLeast(1.8))
            .with_limit(one, 2.0 * one / two)
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns the CPU time that the servers have used so far.
pub(crate) fn cpu_time(servers: &[&Running]) -> anyhow::Result<Duration> {
    servers.iter().map(|server| server.program.cpu_time()).sum()
}

impl Load<'_> {
    /// Measures responses per second, and the servers' CPU time per response.
    pub(crate) fn sample(&self, servers: &[&Running]) -> anyhow::Result<Sample> {
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let before = cpu_time(servers)?;
        let outcome = self.run(&addresses)?;
        let spent = cpu_time(servers)?.saturating_sub(before);
        Ok(Sample {
            value: outcome.rate()?,
            cpu_time: Some(milliseconds(spent) / outcome.total as f64),
        })
    }

    /// Sends the same requests, with another path, to a server that returns a constant.
    pub(crate) fn sample_constant(
        &self,
        server: &Running,
        path: &(dyn Fn(u64) -> String + Sync),
    ) -> anyhow::Result<Sample> {
        let request = |number: u64, request: &mut Vec<u8>| {
            let mut original = Vec::new();
            (self.request)(number, &mut original);
            // METHOD SP path SP rest
            let mut parts = original.splitn(3, |byte| *byte == b' ');
            let (method, _path, rest) = (parts.next(), parts.next(), parts.next());
            request.extend_from_slice(method.unwrap_or_default());
            request.push(b' ');
            request.extend_from_slice(path(number).as_bytes());
            request.push(b' ');
            request.extend_from_slice(rest.unwrap_or_default());
        };
        let load = Load {
            request: &request,
            status: 200,
            ..*self
        };
        load.sample(&[server])
    }
}
