//! Charts of daily event counts for the last 30 days. Redis caches the counts of past days.

use std::collections::HashMap;

use chrono::{Days, NaiveDate, NaiveTime};
use fred::{interfaces::KeysInterface as _, types::Expiration};
use latchkey_shared::models::audit::{self, EventKind};

use crate::admin::dashboard::i18n::Texts;
use crate::{app_state::App, http::error::ApiError};

const DAYS: u64 = 30;
/// The charted kinds of events.
const KINDS: [EventKind; 2] = [EventKind::UserCreated, EventKind::LoginSuccess];
/// The lifetime of a cached count, in seconds: longer than the chart shows the day.
const CACHE_SECONDS: i64 = 32 * 86_400;

/// The left edge of the bars, in SVG units. The scale is left of it.
const LEFT: u64 = 32;
/// The top edge of the bars. The label of a day is above it.
const TOP: u64 = 20;
/// The height of the longest bar.
const HEIGHT: u64 = 90;
/// The width of a day.
const DAY_WIDTH: u64 = 10;
/// The maximum number of lines above the baseline.
const MAX_TICKS: u64 = 4;

/// A bar chart. Positions and sizes are in SVG units.
pub struct Chart {
    /// The suffix of the HTML id.
    pub name: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The text alternative.
    pub summary: String,
    /// One bar per day.
    pub bars: Vec<Bar>,
    /// The horizontal lines of the scale, without the baseline.
    pub ticks: Vec<Tick>,
    /// The days below the baseline.
    pub days: Vec<Label>,
}

/// The bar of one day.
pub struct Bar {
    /// The left edge of the day.
    pub x: u64,
    /// The top edge.
    pub y: u64,
    /// The height.
    pub height: u64,
    /// The day and its count.
    pub label: Label,
}

/// A line of the scale.
pub struct Tick {
    /// The distance from the top.
    pub y: u64,
    /// The count that the line stands for.
    pub label: String,
}

/// A text beside a point.
pub struct Label {
    /// The point.
    pub x: u64,
    /// `start`, `middle` or `end`: the part of the text that is at the point.
    pub anchor: &'static str,
    /// The text.
    pub text: String,
}

/// The counts of one kind by day, the oldest first.
type DailyCounts = Vec<(NaiveDate, u64)>;

/// Returns the charts of registrations and logins.
pub async fn load(app: &App, t: &Texts) -> Result<Vec<Chart>, ApiError> {
    let counts = count_days(app).await?;
    let titles = [t.registrations, t.logins];
    Ok(KINDS
        .into_iter()
        .zip(titles)
        .zip(counts)
        .map(|((kind, title), days)| Chart::new(t, kind, title, &days))
        .collect())
}

impl Chart {
    fn new(t: &Texts, kind: EventKind, title: &'static str, days: &[(NaiveDate, u64)]) -> Self {
        let total: u64 = days.iter().map(|(_, count)| count).sum();
        let today = days.last().map_or(0, |(_, count)| *count);
        let max = days.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let step = scale_step(max);
        let top = max.div_ceil(step).max(1) * step;
        Self {
            name: kind.as_str(),
            title,
            summary: format!("{}: {total}, {}: {today}", t.total, t.today),
            bars: bars(days, top),
            ticks: ticks(top, step),
            days: day_labels(t, days),
        }
    }
}

fn bars(days: &[(NaiveDate, u64)], top: u64) -> Vec<Bar> {
    (0..)
        .zip(days)
        .map(|(i, (day, count))| {
            // Keeps small counts visible.
            let height = (count * HEIGHT / top).max(u64::from(*count > 0) * 2);
            Bar {
                x: LEFT + i * DAY_WIDTH,
                y: TOP + HEIGHT - height,
                height,
                label: Label::new(i, format!("{day}: {count}")),
            }
        })
        .collect()
}

/// Returns the distance of two lines of the scale: the smallest of 1, 2, 5, 10, 20, … with at most [`MAX_TICKS`] lines.
fn scale_step(max: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [1, 2, 5].map(|factor| power.saturating_mul(factor)) {
            if step.saturating_mul(MAX_TICKS) >= max {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn ticks(top: u64, step: u64) -> Vec<Tick> {
    (1..=top / step)
        .map(|i| Tick {
            y: TOP + HEIGHT - i * step * HEIGHT / top,
            label: short_count(i * step),
        })
        .collect()
}

/// Returns a round count in few characters: `5000`, `20k`, `1500k`, `3M`.
fn short_count(count: u64) -> String {
    match count {
        1_000_000.. if count.is_multiple_of(1_000_000) => format!("{}M", count / 1_000_000),
        10_000.. if count.is_multiple_of(1_000) => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}

/// Returns the labels of every tenth day and of today.
fn day_labels(t: &Texts, days: &[(NaiveDate, u64)]) -> Vec<Label> {
    let last = days.len().saturating_sub(1);
    (0..)
        .zip(days)
        .filter_map(|(i, (day, _))| match usize::try_from(i) {
            Ok(index) if index == last => Some(Label::new(i, t.today.to_owned())),
            _ if i % 10 == 0 => Some(Label::new(i, day.format("%m-%d").to_string())),
            _ => None,
        })
        .collect()
}

impl Label {
    /// Returns a label of a day that stays within the chart.
    fn new(day: u64, text: String) -> Self {
        let (anchor, offset) = match day {
            0..5 => ("start", 0),
            25.. => ("end", DAY_WIDTH),
            _ => ("middle", DAY_WIDTH / 2),
        };
        Self {
            x: LEFT + day * DAY_WIDTH + offset,
            anchor,
            text,
        }
    }
}

/// Returns the counts of each kind. One query counts the days that are not cached.
async fn count_days(app: &App) -> Result<Vec<DailyCounts>, ApiError> {
    let today = app.now().date_naive();
    let days: Vec<_> = (0..DAYS)
        .rev()
        .filter_map(|ago| today.checked_sub_days(Days::new(ago)))
        .collect();
    let cells: Vec<_> = KINDS
        .into_iter()
        .flat_map(|kind| days.iter().map(move |day| (kind.as_str(), *day)))
        .collect();
    let keys: Vec<_> = cells.iter().map(|cell| key(app, *cell)).collect();
    let cached: Vec<Option<u64>> = app.redis.mget(keys).await?;
    let cached = cells.iter().copied().zip(cached);
    let mut counts: HashMap<_, _> = cached
        .filter(|((_, day), _)| *day != today)
        .filter_map(|(cell, count)| Some((cell, count?)))
        .collect();
    let missing: Vec<_> = cells.iter().filter(|it| !counts.contains_key(it)).collect();
    let first = missing.iter().map(|(_, day)| *day).min().unwrap_or(today);
    let counted = audit::count_by_day(&app.db, &KINDS, first.and_time(NaiveTime::MIN).and_utc());
    let counted: HashMap<_, _> = counted.await?.into_iter().collect();
    for cell in missing {
        let count = counted.get(cell).copied().unwrap_or(0);
        counts.insert(*cell, count);
        if cell.1 != today {
            cache(app, *cell, count).await?;
        }
    }
    let count = |kind: EventKind, day| counts.get(&(kind.as_str(), day)).copied().unwrap_or(0);
    Ok(KINDS
        .map(|kind| days.iter().map(|day| (*day, count(kind, *day))).collect())
        .into())
}

async fn cache(app: &App, cell: (&str, NaiveDate), count: u64) -> Result<(), ApiError> {
    let expire = Some(Expiration::EX(CACHE_SECONDS));
    let count = count.to_string();
    Ok(app
        .redis
        .set(key(app, cell), count, expire, None, false)
        .await?)
}

fn key(app: &App, (kind, day): (&str, NaiveDate)) -> String {
    let namespace = &app.config.common.redis_namespace;
    format!("{namespace}:admin:day:{kind}:{day}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::dashboard::i18n::ENGLISH;

    fn chart(counts: &[u64]) -> Chart {
        let days: Vec<_> = counts
            .iter()
            .map(|count| (NaiveDate::default(), *count))
            .collect();
        Chart::new(&ENGLISH, EventKind::UserCreated, "", &days)
    }

    #[test]
    fn bars_scale_to_the_top_line_and_stay_visible() {
        let chart = chart(&[0, 1, 1000, 1999]);
        let bars: Vec<_> = chart.bars.iter().map(|bar| (bar.y, bar.height)).collect();
        assert_eq!(bars, [(110, 0), (108, 2), (65, 45), (21, 89)]);
        assert_eq!(chart.bars[2].x, 52);
        let ticks: Vec<_> = chart.ticks.iter().map(|it| (it.y, &*it.label)).collect();
        assert_eq!(
            ticks,
            [(88, "500"), (65, "1000"), (43, "1500"), (20, "2000")]
        );
    }

    #[test]
    fn scale_has_few_round_whole_numbers() {
        for (max, labels) in [
            (0, &["1"][..]),
            (3, &["1", "2", "3"]),
            (5, &["2", "4", "6"]),
            (37, &["10", "20", "30", "40"]),
            (41, &["20", "40", "60"]),
            (79_000, &["20k", "40k", "60k", "80k"]),
            (3_000_000, &["1M", "2M", "3M"]),
        ] {
            let chart = chart(&[max]);
            let found: Vec<_> = chart.ticks.iter().map(|it| it.label.as_str()).collect();
            assert_eq!(found, labels, "{max}");
        }
    }
}
