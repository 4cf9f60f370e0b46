//! `DATABASE_URL` and `REDIS_URL`. They are parsed with the configuration, because the drivers' own errors contain the whole URL
//! with its password.

use std::fmt;

use fred::types::config::Config as FredConfig;
use percent_encoding::percent_decode_str;
use redis::IntoConnectionInfo as _;
use sea_orm::sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use url::Url;

use crate::config::settings::Settings;

/// The expected form of a URL whose user or password contains a reserved character (RFC 3986, 3.2).
pub const EXPECTED_ENCODED: &str = "a user and a password that are percent-encoded: # is %23, / is %2F, ? is %3F, @ is %40, \
                                    : is %3A and % is %25";

/// The expected form of a URL with a control character after decoding.
pub const EXPECTED_WITHOUT_CONTROL: &str =
    "no control character, not even percent-encoded (%00 to %1F, %7F)";

const DATABASE_EXPECTED: &str =
    "sqlite://path/to/file or postgres://user:password@host[:port]/database[?sslmode=…]";
const REDIS_EXPECTED: &str = "redis://[user:password@]host[:port][/database] or rediss://…";

/// The parameters of a PostgreSQL URL that sqlx knows. It logs the values of unknown ones.
const POSTGRES_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// A URL that its driver accepts. `Debug` shows only the scheme, because the URL may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// Reads the URL of the database. An unusable URL is a fault.
    pub(super) fn database(settings: &mut Settings) -> Self {
        Self::read(
            settings,
            "DATABASE_URL",
            "sqlite://var/latchkey.db",
            check_database,
        )
    }

    /// Reads the URL of Redis. An unusable URL is a fault.
    pub(super) fn redis(settings: &mut Settings) -> Self {
        Self::read(settings, "REDIS_URL", "redis://127.0.0.1:6379", check_redis)
    }

    fn read(
        settings: &mut Settings,
        key: &str,
        default: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Self {
        let text = settings.text(key).unwrap_or_else(|| default.to_owned());
        if has_encoded_control(&text) {
            settings.fault(key, EXPECTED_WITHOUT_CONTROL);
        } else if let Err(expected) = check(&text) {
            settings.fault(key, &expected);
        }
        Self(text)
    }

    /// Returns the URL with its password, for the driver.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once(':').map_or("", |(scheme, _)| scheme);
        write!(f, "ServiceUrl({scheme}:…)")
    }
}

/// Returns whether user and password are encoded. A second `@`, or one after the first `/`, `?` or `#`, means that one of these is
/// part of the user or password, a `%` without two hexadecimal digits would be read as itself, and a tab or line end would be
/// dropped (URL Standard, 4.4). Each would select another server or password.
#[must_use]
pub fn is_percent_encoded(text: &str) -> bool {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let end = after_scheme.find(['/', '?', '#']);
    let (authority, rest) = after_scheme.split_at(end.unwrap_or(after_scheme.len()));
    let credentials = authority.rsplit_once('@').map_or("", |(it, _)| it);
    let is_escape = |part: &str| {
        let digits = part.as_bytes().get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    };
    !text.contains(char::is_control)
        && !rest.contains('@')
        && !credentials.contains('@')
        && credentials.split('%').skip(1).all(is_escape)
}

/// Returns whether a URL decodes to a text with a control character. A NUL ends a login of PostgreSQL and of SMTP early, a line end
/// can begin another command, and no login has one (RFC 4013, 2.3).
#[must_use]
pub fn has_encoded_control(text: &str) -> bool {
    text.contains('%') && percent_decode_str(text).any(|byte| byte.is_ascii_control())
}

/// Says what the text should be, and repeats none of it.
fn check_database(text: &str) -> Result<(), String> {
    if text.starts_with("sqlite:") {
        let parsed = text.parse::<SqliteConnectOptions>();
        return parsed.map(drop).map_err(|_| DATABASE_EXPECTED.to_owned());
    }
    let url = check_url(text, &["postgres", "postgresql"], DATABASE_EXPECTED)?;
    let is_known = |key: &str| POSTGRES_PARAMETERS.contains(&key) || key.starts_with("options[");
    if !url.query_pairs().all(|(key, _)| is_known(&key)) {
        return Err(format!(
            "no parameters but {}",
            POSTGRES_PARAMETERS.join(", ")
        ));
    }
    let parsed = text.parse::<PgConnectOptions>();
    parsed.map(drop).map_err(|_| DATABASE_EXPECTED.to_owned())
}

fn check_redis(text: &str) -> Result<(), String> {
    check_url(text, &["redis", "rediss"], REDIS_EXPECTED)?;
    let is_accepted = FredConfig::from_url(text).is_ok() && text.into_connection_info().is_ok();
    is_accepted
        .then_some(())
        .ok_or_else(|| REDIS_EXPECTED.to_owned())
}

fn check_url(text: &str, schemes: &[&str], expected: &str) -> Result<Url, String> {
    if !is_percent_encoded(text) {
        return Err(EXPECTED_ENCODED.to_owned());
    }
    Url::parse(text)
        .ok()
        .filter(|url| schemes.contains(&url.scheme()) && url.fragment().is_none())
        .ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(key: &str, url: &str) -> String {
        let mut settings = Settings::from_pairs([(key, url)]);
        ServiceUrl::database(&mut settings);
        ServiceUrl::redis(&mut settings);
        settings
            .finish()
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    /// L1
    #[test]
    fn unencoded_password_is_refused_and_not_repeated() {
        for (key, scheme) in [("DATABASE_URL", "postgres"), ("REDIS_URL", "redis")] {
            for password in [
                "S3c\tret",
                "S3cretPw#x",
                "S3cretPw/x",
                "S3cretPw?x",
                "S3cretPw%x",
                "S3cretPw%ffx",
            ] {
                let faults = faults(key, &format!("{scheme}://lk:{password}@127.0.0.1/0"));
                assert!(
                    faults.contains(&format!("{key}: expected")),
                    "{password}: {faults}"
                );
                assert!(!faults.contains("S3cret"), "{faults}");
            }
            let unencoded = faults(key, &format!("{scheme}://lk:S3cretPw#x@127.0.0.1/0"));
            assert!(
                unencoded.contains("percent-encoded: # is %23"),
                "{unencoded}"
            );
        }
    }

    /// L1
    #[test]
    fn url_with_encoded_control_characters_is_a_fault() {
        for encoded in ["%00", "%0a", "%0D", "%7f"] {
            for (key, url) in [
                (
                    "DATABASE_URL",
                    format!("postgres://lk{encoded}:S3cret@127.0.0.1/db"),
                ),
                (
                    "DATABASE_URL",
                    format!("postgres://lk:S3cret{encoded}@127.0.0.1/db"),
                ),
                (
                    "DATABASE_URL",
                    format!("postgres://lk@127.0.0.1/db{encoded}"),
                ),
                (
                    "DATABASE_URL",
                    format!("postgres:///db?password=S3cret{encoded}"),
                ),
                ("DATABASE_URL", format!("sqlite://var/S3cret{encoded}.db")),
                ("REDIS_URL", format!("redis://lk{encoded}:S3cret@127.0.0.1")),
                ("REDIS_URL", format!("redis://lk:S3cret{encoded}@127.0.0.1")),
            ] {
                let faults = faults(key, &url);
                let expected = format!("{key}: expected no control character");
                assert!(faults.contains(&expected), "{url}: {faults}");
                assert!(!faults.contains("S3cret"), "{faults}");
            }
        }
    }

    /// L1
    #[test]
    fn url_the_driver_refuses_is_a_fault() {
        for (key, url) in [
            ("DATABASE_URL", "mysql://lk:S3cret@127.0.0.1/db"),
            ("DATABASE_URL", "postgres://lk:S3cret@127.0.0.1:port/db"),
            (
                "DATABASE_URL",
                "postgres://lk:S3cret@127.0.0.1/db?sslmode=some",
            ),
            ("DATABASE_URL", "postgres://lk@127.0.0.1/db?pasword=S3cret"),
            ("DATABASE_URL", "sqlite://S3cret.db?mode=some"),
            ("REDIS_URL", "http://:S3cret@127.0.0.1"),
            ("REDIS_URL", "redis://:S3cret@127.0.0.1/first"),
            ("REDIS_URL", "redis://:S3cret@127.0.0.1:port"),
        ] {
            let faults = faults(key, url);
            assert!(
                faults.contains(&format!("{key}: expected")),
                "{url}: {faults}"
            );
            assert!(!faults.contains("S3cret"), "{faults}");
        }
    }

    #[test]
    fn usable_url_is_accepted_and_debug_hides_it() {
        for (key, url) in [
            ("DATABASE_URL", "sqlite:var/a@b.db"),
            ("DATABASE_URL", "sqlite://var/latchkey.db?mode=rwc"),
            (
                "DATABASE_URL",
                "postgres:///db?host=/run/postgresql&user=lk",
            ),
            (
                "DATABASE_URL",
                "postgresql://lk:a%23b%2Fc@[::1]:5432/db?sslmode=disable",
            ),
            (
                "REDIS_URL",
                "rediss://lk:a%23b%2Fc@redis.example.com:6380/1",
            ),
            ("REDIS_URL", "redis://:S3cret@127.0.0.1"),
        ] {
            assert_eq!(faults(key, url), "", "{url}");
        }
        let shown = format!("{:?}", ServiceUrl("redis://:S3cret@127.0.0.1".to_owned()));
        assert_eq!(shown, "ServiceUrl(redis:…)");
    }
}
