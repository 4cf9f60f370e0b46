//! Charts of daily event counts for the last 30 days. Redis caches the counts of past days.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use fred::{interfaces::KeysInterface as _, types::Expiration};
use latchkey_shared::models::audit::{self, EventKind};

use crate::admin::dashboard::i18n::Texts;
use crate::{app_state::App, http::error::ApiError};

const DAYS: u64 = 30;
/// The height of the chart, in SVG units.
const HEIGHT: u64 = 80;
/// The lifetime of a cached count, in seconds: longer than the chart shows the day.
const CACHE_SECONDS: i64 = 32 * 86_400;

/// A bar chart.
pub struct Chart {
    /// The suffix of the HTML id.
    pub name: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The first day.
    pub start: String,
    /// The text alternative.
    pub summary: String,
    /// One bar per day.
    pub bars: Vec<Bar>,
}

/// The bar of one day, in SVG units.
pub struct Bar {
    /// The left edge.
    pub x: u64,
    /// The top edge.
    pub y: u64,
    /// The height.
    pub height: u64,
    /// The day and its count.
    pub label: String,
}

/// Returns the chart of a kind of event.
pub async fn load(
    app: &App,
    t: &Texts,
    kind: EventKind,
    title: &'static str,
) -> Result<Chart, ApiError> {
    let days = count_days(app, kind).await?;
    let total: u64 = days.iter().map(|(_, count)| count).sum();
    let today = days.last().map_or(0, |(_, count)| *count);
    Ok(Chart {
        name: kind.as_str(),
        title,
        start: days
            .first()
            .map_or(String::new(), |(day, _)| day.to_string()),
        summary: format!("{}: {total}, {}: {today}", t.total, t.today),
        bars: bars(&days),
    })
}

fn bars(days: &[(NaiveDate, u64)]) -> Vec<Bar> {
    let max = days.iter().map(|(_, count)| *count).max();
    let max = max.unwrap_or(0).max(1);
    (0..)
        .zip(days)
        .map(|(i, (day, count))| {
            // Keeps small counts visible.
            let height = (count * HEIGHT / max).max(u64::from(*count > 0) * 2);
            Bar {
                x: i * 10 + 1,
                y: HEIGHT - height,
                height,
                label: format!("{day}: {count}"),
            }
        })
        .collect()
}

async fn count_days(app: &App, kind: EventKind) -> Result<Vec<(NaiveDate, u64)>, ApiError> {
    let today = app.now().date_naive();
    let days: Vec<_> = (0..DAYS)
        .rev()
        .filter_map(|ago| today.checked_sub_days(Days::new(ago)))
        .collect();
    let keys: Vec<_> = days.iter().map(|day| key(app, kind, *day)).collect();
    let cached: Vec<Option<u64>> = app.redis.mget(keys.clone()).await?;
    let mut counts = Vec::new();
    for ((day, key), cached) in days.into_iter().zip(keys).zip(cached) {
        let count = match cached.filter(|_| day != today) {
            Some(count) => count,
            None => count_day(app, kind, day).await?,
        };
        if cached.is_none() && day != today {
            let expire = Some(Expiration::EX(CACHE_SECONDS));
            let () = app
                .redis
                .set(key, count.to_string(), expire, None, false)
                .await?;
        }
        counts.push((day, count));
    }
    Ok(counts)
}

async fn count_day(app: &App, kind: EventKind, day: NaiveDate) -> Result<u64, ApiError> {
    let start: DateTime<Utc> = day.and_time(chrono::NaiveTime::MIN).and_utc();
    Ok(audit::count(&app.db, kind, start, start + TimeDelta::days(1)).await?)
}

fn key(app: &App, kind: EventKind, day: NaiveDate) -> String {
    format!(
        "{}:admin:day:{}:{day}",
        app.config.common.redis_namespace,
        kind.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_scale_to_the_maximum_and_stay_visible() {
        let day = NaiveDate::default();
        let bars = bars(&[(day, 0), (day, 1), (day, 1000)]);
        assert_eq!((bars[0].height, bars[0].y), (0, 80));
        assert_eq!(bars[1].height, 2);
        assert_eq!((bars[2].height, bars[2].y, bars[2].x), (80, 0, 21));
        assert!(super::bars(&[(day, 0)]).iter().all(|bar| bar.height == 0));
    }
}
