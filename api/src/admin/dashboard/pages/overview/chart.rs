//! Small charts of the last 30 days. A day that is over is counted once and kept in Redis; only today is counted anew.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use fred::{interfaces::KeysInterface as _, types::Expiration};
use latchkey_shared::models::audit::{self, EventKind};

use crate::admin::dashboard::{i18n::Texts, session::redis};
use crate::{app_state::App, http::error::ApiError};

const DAYS: u64 = 30;
/// The height of the drawing.
const HEIGHT: u64 = 80;
/// How long the number of a day is kept, in seconds: a little longer than it is shown.
const KEPT: i64 = 32 * 86_400;

/// What a page draws.
pub struct Chart {
    /// Names it within the page.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The same in words.
    pub summary: String,
    /// A bar a day.
    pub bars: Vec<Bar>,
}

/// One day.
pub struct Bar {
    /// From the left.
    pub x: u64,
    /// From the top.
    pub y: u64,
    /// Of the bar.
    pub height: u64,
    /// Day and number.
    pub label: String,
}

/// The chart of one kind of event.
///
/// # Errors
/// When Redis or the database fails.
pub async fn of(
    app: &App,
    t: &Texts,
    kind: EventKind,
    title: &'static str,
) -> Result<Chart, ApiError> {
    let days = count(app, kind).await?;
    let (sum, today): (u64, u64) = (
        days.iter().map(|(_, number)| number).sum(),
        days.last().map_or(0, |(_, number)| *number),
    );
    Ok(Chart {
        name: kind.as_str(),
        title,
        summary: format!("{}: {sum}, {}: {today}", t.in_all, t.today),
        bars: bars(&days),
    })
}

fn bars(days: &[(NaiveDate, u64)]) -> Vec<Bar> {
    let most = days
        .iter()
        .map(|(_, number)| *number)
        .max()
        .unwrap_or(0)
        .max(1);
    (0..)
        .zip(days)
        .map(|(i, (day, number))| {
            // A day with anything at all is seen.
            let height = (number * HEIGHT / most).max(u64::from(*number > 0) * 2);
            Bar {
                x: i * 10 + 1,
                y: HEIGHT - height,
                height,
                label: format!("{day}: {number}"),
            }
        })
        .collect()
}

async fn count(app: &App, kind: EventKind) -> Result<Vec<(NaiveDate, u64)>, ApiError> {
    let today = app.now().date_naive();
    let days: Vec<_> = (0..DAYS)
        .rev()
        .filter_map(|ago| today.checked_sub_days(Days::new(ago)))
        .collect();
    let keys: Vec<_> = days.iter().map(|day| key(app, kind, *day)).collect();
    let known: Vec<Option<u64>> = app
        .redis
        .mget(keys.clone())
        .await
        .map_err(|error| redis(&error))?;
    let mut numbers = Vec::new();
    for ((day, key), known) in days.into_iter().zip(keys).zip(known) {
        let number = match known {
            Some(number) if day != today => number,
            _ => {
                let number = on(app, kind, day).await?;
                if day != today {
                    let expire = Some(Expiration::EX(KEPT));
                    let () = app
                        .redis
                        .set(key, number.to_string(), expire, None, false)
                        .await
                        .map_err(|error| redis(&error))?;
                }
                number
            }
        };
        numbers.push((day, number));
    }
    Ok(numbers)
}

async fn on(app: &App, kind: EventKind, day: NaiveDate) -> Result<u64, ApiError> {
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
    fn the_tallest_bar_fills_the_drawing_and_the_smallest_is_seen() {
        let day = NaiveDate::default();
        let bars = bars(&[(day, 0), (day, 1), (day, 1000)]);
        assert_eq!((bars[0].height, bars[0].y), (0, 80));
        assert_eq!(bars[1].height, 2);
        assert_eq!((bars[2].height, bars[2].y, bars[2].x), (80, 0, 21));
        assert!(super::bars(&[(day, 0)]).iter().all(|bar| bar.height == 0));
    }
}
