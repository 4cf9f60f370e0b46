//! The report: the table of `deploy/docs/performance.md`, or one JSON object per result.

use std::io::Write as _;

use serde_json::json;

use crate::{installation::DatabaseKind, load};

/// The results of a run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) results: Vec<(DatabaseKind, Vec<Measurement>)>,
    /// The share of the CPU time that other programs used before each row, in percent.
    pub(crate) other_work: Vec<f64>,
}

/// One result with one kind of database.
pub(crate) struct Measurement {
    name: String,
    value: f64,
    unit: &'static str,
    /// The limit's value, and the median of the rounds' ratios of value to limit.
    limit: Option<(f64, f64)>,
    target: Target,
}

/// The value that a measurement should reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The measurement is for information.
    None,
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Measurement {
    pub(crate) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            limit: None,
            target,
        }
    }

    /// Adds the limit's value and the ratio to it.
    pub(crate) fn with_limit(self, limit: f64, ratio: f64) -> Self {
        Self {
            limit: Some((limit, ratio)),
            ..self
        }
    }

    fn ratio(&self) -> Option<f64> {
        self.limit.map(|(_, ratio)| ratio)
    }

    fn is_met(&self) -> Option<bool> {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.target {
            Target::None => None,
            Target::RatioAtLeast(target) => Some(ratio >= target),
            Target::RatioAtMost(target) => Some(ratio <= target),
            Target::AtLeast(target) => Some(self.value >= target),
            Target::AtMost(target) => Some(self.value <= target),
        }
    }

    fn amount(&self, value: f64) -> String {
        format!("{} {}", number(value), self.unit)
    }

    fn target(&self) -> String {
        match self.target {
            Target::None => String::new(),
            Target::RatioAtLeast(target) => format!("≥ {target} ×"),
            Target::RatioAtMost(target) => format!("≤ {target} ×"),
            Target::AtLeast(target) => format!("≥ {}", self.amount(target)),
            Target::AtMost(target) => format!("≤ {}", self.amount(target)),
        }
    }

    /// Returns a database's three cells: value and limit, ratio, and whether the target is met.
    fn cells(&self) -> String {
        let mut value = self.amount(self.value);
        if let Some((limit, _)) = self.limit {
            value = format!("{value} / {}", self.amount(limit));
        }
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}"));
        let met = match self.is_met() {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        format!(" {value} | {} | {met} |", ratio.unwrap_or_default())
    }

    fn json(&self, database: DatabaseKind) -> serde_json::Value {
        json!({
            "database": database.name(),
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "limit": self.limit.map(|(limit, _)| limit),
            "ratio": self.ratio(),
            "target": self.target(),
            "met": self.is_met(),
        })
    }
}

/// Formats a number with commas between its thousands.
pub(crate) fn thousands(number: u64) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", thousands(number / 1000), number % 1000)
}

/// Formats a number with three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Report {
    /// Prints the report on standard output.
    pub(crate) fn print(mut self, json: bool) -> anyhow::Result<()> {
        self.other_work.sort_unstable_by(f64::total_cmp);
        let [median, maximum] = [0.5, 1.0].map(|part| load::percentile(&self.other_work, part));
        let mut out = std::io::stdout().lock();
        if json {
            for (database, measurements) in &self.results {
                for measurement in measurements {
                    writeln!(out, "{}", measurement.json(*database))?;
                }
            }
            let other_work = json!({"other_work_percent": {"median": median, "maximum": maximum}});
            writeln!(out, "{other_work}")?;
            return Ok(());
        }
        writeln!(
            out,
            "Before each row, other work used {median:.2} % of the cores (median; maximum {maximum:.2} %).\n"
        )?;
        for line in self.table() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// Returns the table's lines. The databases stand side by side; a row that only one of them has leaves the other's
    /// cells empty.
    fn table(&self) -> Vec<String> {
        let (mut head, mut rule) = (
            "| operation / limit | target |".to_owned(),
            "|---|--:|".to_owned(),
        );
        let mut names: Vec<&str> = Vec::new();
        for (database, measurements) in &self.results {
            head.extend([" ", database.name(), " | ratio | met |"]);
            rule += "--:|--:|---|";
            for measurement in measurements {
                if !names.contains(&measurement.name.as_str()) {
                    names.push(&measurement.name);
                }
            }
        }
        let rows = names.into_iter().map(|name| self.row(name));
        [head, rule].into_iter().chain(rows).collect()
    }

    fn row(&self, name: &str) -> String {
        let (mut targets, mut cells) = (Vec::new(), String::new());
        for (_, measurements) in &self.results {
            let Some(measurement) = measurements.iter().find(|found| found.name == name) else {
                cells += "  |  |  |";
                continue;
            };
            // A target that depends on the database is stated for each.
            if !targets.contains(&measurement.target()) {
                targets.push(measurement.target());
            }
            cells += &measurement.cells();
        }
        format!("| {name} | {} |{cells}", targets.join(", "))
    }
}
