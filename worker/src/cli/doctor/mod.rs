//! `latchkey-worker doctor`: checks everything that a worker depends on, and prints remedies.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::{Clock, MAX_OFFSET},
    config::settings::Environment,
};

use crate::config::Config;

mod database;
mod redis;
mod report;
mod smtp;

pub use report::{Finding, Report, Severity};

/// The clock difference from which the report warns. The programs correct the difference to Redis; logs do not.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(2);

/// Runs all checks. A failed check does not stop the others.
pub async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    let clock = Clock::system();
    smtp::check_destination(config, &mut report).await;
    check_content(config, &mut report);
    redis::check(config, &clock, &mut report).await;
    database::check(config, &clock, &mut report).await;
    report
}

/// Checks that mails name the front end and a contact. The start has checked the templates.
fn check_content(config: &Config, report: &mut Report) {
    let branding = &config.common.mail_branding;
    let languages = config.common.mail_templates.languages();
    let languages: Vec<_> = languages.map(|(tag, _)| tag.as_str()).collect();
    report.ok(
        "mails",
        format!("templates are complete: {}", languages.join(", ")),
    );
    if config.common.environment != Environment::Production {
        return;
    }
    if branding.login_url.is_none() {
        let remedy = "set APP_URL to the URL of your front end";
        report.warn("mails", "have no links, as APP_URL is not set", remedy);
    }
    if branding.support.is_none() {
        let remedy = "set SUPPORT_ADDRESS to an address that users can write to";
        report.warn(
            "mails",
            "name no contact, as SUPPORT_ADDRESS is not set",
            remedy,
        );
    }
}

/// Compares the clock of `server` with our own. `theirs` was read between `before` and `after`.
fn check_clock(
    server: &str,
    theirs: DateTime<Utc>,
    before: DateTime<Utc>,
    after: DateTime<Utc>,
    report: &mut Report,
) {
    let skew = Ord::max(before - theirs, theirs - after);
    if skew > MAX_OFFSET {
        report.fail(
            "clock",
            format!("differs from the clock of {server} by {} s", skew.num_seconds()),
            "synchronize both machines by NTP (timedatectl set-ntp true); the programs do not follow a clock of Redis that differs by \
             more than 10 minutes, and may disagree about what has expired",
        );
    } else if skew > MAX_SKEW {
        report.warn(
            "clock",
            format!("differs from the clock of {server} by {} s", skew.num_seconds()),
            "synchronize both machines by NTP (timedatectl set-ntp true); until then the programs use the clock of Redis",
        );
    } else {
        report.ok("clock", format!("agrees with {server}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn problems(report: &Report) -> Vec<(&'static str, Severity)> {
        let bad = report.0.iter().filter(|it| it.severity != Severity::Ok);
        bad.map(|it| (it.subject, it.severity)).collect()
    }

    #[test]
    fn clock_skew_warns_from_seconds_and_fails_from_minutes() {
        let now = Clock::fixed().now();
        let (warning, failure) = (Some(Severity::Warning), Some(Severity::Failure));
        for (theirs, severity) in [
            (0, None),
            (2, None),
            (-2, None),
            (3, warning),
            (-3, warning),
            (600, warning),
            (601, failure),
            (-601, failure),
        ] {
            let mut report = Report::default();
            let theirs = now + TimeDelta::seconds(theirs);
            check_clock("Redis", theirs, now, now, &mut report);
            let found = problems(&report).first().map(|(_, severity)| *severity);
            assert_eq!(found, severity, "{theirs}");
        }
    }
}
