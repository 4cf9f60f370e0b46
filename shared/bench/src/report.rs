//! The table.

use std::io::Write as _;

use serde_json::json;

/// One line.
pub(crate) struct Figure {
    pub(crate) database: &'static str,
    pub(crate) what: String,
    /// What Latchkey did.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What the machine could do, measured in turns with it.
    pub(crate) limit: Option<f64>,
    /// The part of the limit; the median of the rounds, not the quotient of two medians.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Goal,
}

/// What it should be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// For information.
    None,
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    fn met(&self) -> Option<bool> {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        match self.goal {
            Goal::None => None,
            Goal::RatioAtLeast(goal) => Some(ratio >= goal),
            Goal::RatioAtMost(goal) => Some(ratio <= goal),
            Goal::AtLeast(goal) => Some(self.value >= goal),
            Goal::AtMost(goal) => Some(self.value <= goal),
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::None => String::new(),
            Goal::RatioAtLeast(goal) => format!("≥ {goal} ×"),
            Goal::RatioAtMost(goal) => format!("≤ {goal} ×"),
            Goal::AtLeast(goal) => format!("≥ {} {}", number(goal), self.unit),
            Goal::AtMost(goal) => format!("≤ {} {}", number(goal), self.unit),
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "database": self.database,
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "limit": self.limit,
            "ratio": self.ratio,
            "goal": self.goal(),
            "met": self.met(),
        })
    }

    fn row(&self) -> String {
        let amount = |value| format!("{} {}", number(value), self.unit);
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            self.database,
            self.what,
            amount(self.value),
            self.limit.map_or(String::new(), amount),
            self.ratio
                .map_or(String::new(), |ratio| format!("{ratio:.2}")),
            self.goal(),
            match self.met() {
                None => "",
                Some(true) => "yes",
                Some(false) => "**no**",
            },
        )
    }
}

/// With three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Prints them on standard output.
pub(crate) fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        for figure in figures {
            writeln!(out, "{}", figure.json())?;
        }
        return Ok(());
    }
    writeln!(
        out,
        "| database | what | Latchkey | limit, same run | ratio | goal | met |"
    )?;
    writeln!(out, "|---|---|--:|--:|--:|--:|---|")?;
    for figure in figures {
        writeln!(out, "{}", figure.row())?;
    }
    Ok(())
}
