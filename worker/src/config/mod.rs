//! The configuration of the worker.

pub mod ehlo_name;
pub mod retention;
pub mod smtp_url;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::TimeDelta;
use latchkey_shared::{
    config::{
        SharedConfig,
        rate::{self, Rate},
        settings::{Environment, Settings, SettingsError},
    },
    telemetry::metrics,
};
use lettre::{message::Mailbox, transport::smtp::client::Certificate};

use crate::{
    config::{
        ehlo_name::EhloName,
        retention::Retention,
        smtp_url::{NotAnSmtpUrl, SmtpUrl},
    },
    delivery::{compose, mail_budget::MailRates},
};

/// How many times its default a mail limit may be in production.
const MAX_FACTOR: u32 = 10;

/// What `LIMITS` has to be.
const LIMITS: &str = "on or off";

/// The configuration of the worker. Each field names its variable.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings that the API has, too.
    pub common: SharedConfig,
    /// Where mails are sent.
    pub destination: MailDestination,
    /// `MAIL_FROM`
    pub mail_from: Mailbox,
    /// `OTP_SECONDS`: the lifetime of a code after its mail was sent.
    pub otp_lifetime: TimeDelta,
    /// `WORKER_CONCURRENCY`: maximum number of concurrent SMTP conversations.
    pub concurrency: usize,
    /// `LIMIT_MAIL_…`: how many mails of one kind a mailbox gets. `None` for `LIMITS=off`: no limit.
    pub mail_rates: Option<MailRates>,
    /// How long data is kept.
    pub retention: Retention,
    /// `METRICS_BIND`: the address of metrics and health checks. `None` for `off`.
    pub metrics_bind: Option<SocketAddr>,
}

/// Where mails are sent.
#[derive(Clone, Debug)]
pub enum MailDestination {
    /// To an SMTP server.
    Smtp(Server),
    /// To files in `MAIL_DIR`, if `SMTP_URL` is not set.
    Folder(PathBuf),
}

/// The SMTP server.
#[derive(Clone, Debug)]
pub struct Server {
    /// `SMTP_URL`
    pub url: SmtpUrl,
    /// `SMTP_EHLO_NAME`: the name in `EHLO`; derived from `PUBLIC_URL` by default.
    pub ehlo_name: EhloName,
    /// `SMTP_CA_FILE`: a certificate authority to trust in addition to the public ones.
    pub ca_certificate: Option<Certificate>,
    /// `SMTP_TIMEOUT_SECONDS`: the timeout of one mail.
    pub timeout: Duration,
    /// `SMTP_MAX_PER_SECOND`: the limit of mails per second, over all workers. `None`: no limit.
    pub max_per_second: Option<u32>,
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// When settings are missing or invalid. The error names all of them.
    pub fn read(mut settings: Settings) -> Result<Config, SettingsError> {
        let settings = &mut settings;
        let common = SharedConfig::read(settings);
        let production = common
            .as_ref()
            .is_some_and(|common| common.environment == Environment::Production);
        let destination = destination(settings, production, common.as_ref());
        let mail_from = mail_from(settings, production);
        let otp_seconds = settings.within("OTP_SECONDS", 300, 1..=3600);
        let concurrency = settings.within("WORKER_CONCURRENCY", 16, 1..=256);
        let mail_rates = mail_rates(settings, production);
        let pending_accounts = common
            .as_ref()
            .and_then(|common| common.pending_account_retention);
        let retention = Retention::read(settings, pending_accounts);
        let metrics_bind = metrics::bind(settings, SocketAddr::from(([127, 0, 0, 1], 9101)));
        std::mem::take(settings).finish()?;
        // Unreachable: `finish` fails if either is missing. The compiler cannot know that.
        let (Some(common), Some(mail_from)) = (common, mail_from) else {
            let mut incomplete = Settings::default();
            incomplete.fault("SECRET_KEY, MAIL_FROM", "both");
            return Err(incomplete.finish().expect_err("there is a fault"));
        };
        Ok(Config {
            common,
            destination,
            mail_from,
            otp_lifetime: TimeDelta::seconds(otp_seconds),
            concurrency,
            mail_rates,
            retention,
            metrics_bind,
        })
    }

    /// Returns warnings to log at the start, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let bind = self.metrics_bind.and_then(|bind| {
            let environment = self.common.environment;
            environment.bind_warning("METRICS_BIND", bind)
        });
        let limits = self.mail_rates.is_none().then(|| {
            "LIMITS is off: a mailbox can get any number of mails. Set LIMITS=on.".to_owned()
        });
        let production = self.common.environment == Environment::Production;
        let mails = production.then(|| self.common.mail_branding.warnings());
        let mails = mails.into_iter().flatten();
        bind.into_iter().chain(limits).chain(mails).collect()
    }
}

fn destination(
    settings: &mut Settings,
    production: bool,
    common: Option<&SharedConfig>,
) -> MailDestination {
    let folder = settings
        .text("MAIL_DIR")
        .map_or_else(|| PathBuf::from("var/mail"), PathBuf::from);
    let timeout = Duration::from_secs(settings.within("SMTP_TIMEOUT_SECONDS", 30, 1..=300));
    let max_per_second = max_per_second(settings);
    let ca_certificate = ca_certificate(settings);
    if production && settings.text("SMTP_URL").is_none() {
        settings.fault("SMTP_URL", &format!("{} in production", smtp_url::EXPECTED));
    }
    let ehlo_name = settings.optional("SMTP_EHLO_NAME", ehlo_name::EXPECTED);
    // Without the shared settings the start fails anyway.
    let ehlo_name =
        ehlo_name.or_else(|| common.map(|common| EhloName::from_public_url(&common.public_url)));
    let url = smtp_url(settings);
    if production && url.as_ref().is_some_and(SmtpUrl::exposes_credentials) {
        settings.fault(
            "SMTP_URL",
            "TLS in production where there is a password and the host is not this machine: smtps:// or tls=required",
        );
    }
    match url.zip(ehlo_name) {
        Some((url, ehlo_name)) => MailDestination::Smtp(Server {
            url,
            ehlo_name,
            ca_certificate,
            timeout,
            max_per_second,
        }),
        None => MailDestination::Folder(folder),
    }
}

fn smtp_url(settings: &mut Settings) -> Option<SmtpUrl> {
    let url = settings.text("SMTP_URL")?.parse();
    url.map_err(|error: NotAnSmtpUrl| settings.fault("SMTP_URL", error.expected()))
        .ok()
}

fn mail_rates(settings: &mut Settings, production: bool) -> Option<MailRates> {
    let default = MailRates::default();
    let limits = settings.choice("LIMITS", "on".to_owned(), LIMITS);
    if !["on", "off"].contains(&limits.as_str()) {
        settings.fault("LIMITS", LIMITS);
    }
    let enabled = limits == "on";
    let mut rate = |key: &str, default: Rate| {
        let rate = settings.parse(key, default, rate::EXPECTED);
        if production && enabled && rate.exceeds(default, MAX_FACTOR) {
            let expected =
                format!("at most {MAX_FACTOR} times {default} in production, or LIMITS=off");
            settings.fault(key, &expected);
        }
        rate
    };
    let rates = MailRates {
        cause: rate("LIMIT_MAIL_CAUSE", default.cause),
        cooldown: rate("LIMIT_MAIL_COOLDOWN", default.cooldown),
        hour: rate("LIMIT_MAIL_HOUR", default.hour),
        day: rate("LIMIT_MAIL_DAY", default.day),
        max_counters: settings.within("LIMIT_MAX_COUNTERS", default.max_counters, 100..=10_000_000),
    };
    enabled.then_some(rates)
}

fn max_per_second(settings: &mut Settings) -> Option<u32> {
    let expected = "a number from 1 to 10000, or nothing for no limit";
    let limit: u32 = settings.optional("SMTP_MAX_PER_SECOND", expected)?;
    if !(1..=10_000).contains(&limit) {
        settings.fault("SMTP_MAX_PER_SECOND", expected);
    }
    Some(limit)
}

fn ca_certificate(settings: &mut Settings) -> Option<Certificate> {
    // Every setting can come from a file, so `SMTP_CA` is the certificate and `SMTP_CA_FILE` its path.
    let pem = settings.text("SMTP_CA")?;
    // lettre accepts a text without a certificate.
    let certificate = Certificate::from_pem(pem.as_bytes())
        .ok()
        .filter(|_| pem.contains("-----BEGIN CERTIFICATE-----"));
    if certificate.is_none() {
        settings.fault(
            "SMTP_CA_FILE",
            "the path of a certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        );
    }
    certificate
}

fn mail_from(settings: &mut Settings, production: bool) -> Option<Mailbox> {
    let expected = "an address with or without a name, such as Latchkey <no-reply@example.com>";
    let given: Option<Mailbox> = if production || settings.text("MAIL_FROM").is_some() {
        settings.required("MAIL_FROM", expected)
    } else {
        "Latchkey <no-reply@localhost>".parse().ok()
    };
    given.map(|Mailbox { name, email }| Mailbox::new(name, compose::with_ascii_domain(email)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");

    fn faults(pairs: &[(&str, &str)]) -> String {
        let settings = Settings::from_pairs(pairs.iter().copied());
        Config::read(settings).unwrap_err().to_string()
    }

    #[test]
    fn development_needs_only_a_secret_key() {
        let config = Config::read(Settings::from_pairs([KEY])).unwrap();
        assert_eq!(
            config.mail_from.to_string(),
            "Latchkey <no-reply@localhost>"
        );
        assert!(
            matches!(config.destination, MailDestination::Folder(folder) if folder.to_str() == Some("var/mail"))
        );
        assert_eq!((config.common.otp_digits, config.concurrency), (6, 16));
    }

    #[test]
    fn production_requires_smtp_url_and_mail_from() {
        let faults = faults(&[KEY, ("ENVIRONMENT", "production")]);
        assert!(faults.contains("SMTP_URL: expected"), "{faults}");
        assert!(faults.contains("MAIL_FROM: expected"), "{faults}");
    }

    #[test]
    fn production_rejects_excessive_mail_limits() {
        let open = [
            KEY,
            ("ENVIRONMENT", "production"),
            ("LIMIT_MAIL_DAY", "100000/1"),
        ];
        let key = "LIMIT_MAIL_DAY: expected at most";
        assert!(faults(&open).contains(key), "{}", faults(&open));
        let off = [&open[..], &[("LIMITS", "off")]].concat();
        assert!(!faults(&off).contains(key), "{}", faults(&off));
    }

    #[test]
    fn metrics_on_reachable_address_in_development_warns() {
        let warnings = |pairs: &[(&str, &str)]| {
            let settings = Settings::from_pairs([KEY].iter().chain(pairs).copied());
            Config::read(settings).unwrap().warnings()
        };
        for quiet in [
            "127.0.0.1:9101",
            "[::1]:9101",
            "[::ffff:127.0.0.1]:9101",
            "off",
        ] {
            assert!(warnings(&[("METRICS_BIND", quiet)]).is_empty(), "{quiet}");
        }
        for reachable in ["0.0.0.0:9101", "192.0.2.1:9101", "[::]:9101"] {
            let warned = warnings(&[("METRICS_BIND", reachable)]);
            assert_eq!(warned.len(), 1, "{reachable}");
            assert!(warned[0].contains(reachable), "{warned:?}");
        }
        assert!(warnings(&[("LIMITS", "off")])[0].contains("LIMITS is off"));
        let production = [
            ("SECRET_KEY", "7tKq9vXw2LmZ4pRb8sYc1nHd6fJg3aTe"),
            ("ENVIRONMENT", "production"),
            ("SMTP_URL", "smtp://mail.example.com"),
            ("MAIL_FROM", "no-reply@example.com"),
            ("METRICS_BIND", "0.0.0.0:9101"),
            ("APP_URL", "https://app.example.com"),
            ("SUPPORT_ADDRESS", "help@example.com"),
        ];
        let config = Config::read(Settings::from_pairs(production)).unwrap();
        assert!(config.warnings().is_empty());
    }

    #[test]
    fn production_without_app_url_or_support_address_warns() {
        let warnings = |more: &[(&str, &str)]| {
            let production = [
                ("SECRET_KEY", "7tKq9vXw2LmZ4pRb8sYc1nHd6fJg3aTe"),
                ("SMTP_URL", "smtp://mail.example.com"),
                ("MAIL_FROM", "no-reply@example.com"),
            ];
            let settings = Settings::from_pairs(production.iter().chain(more).copied());
            Config::read(settings).unwrap().warnings()
        };
        let of_production = warnings(&[("ENVIRONMENT", "production")]);
        assert_eq!(of_production.len(), 2, "{of_production:?}");
        assert!(
            of_production[0].contains("APP_URL") && of_production[1].contains("SUPPORT_ADDRESS")
        );
        assert!(warnings(&[]).is_empty());
    }

    #[test]
    fn invalid_settings_are_named_without_their_values() {
        let faults = faults(&[
            ("SMTP_URL", "smtp://ada:hunter2@"),
            ("MAIL_FROM", "plain"),
            ("SUPPORT_ADDRESS", "nowhere"),
            ("OTP_DIGITS", "5"),
            ("OTP_SECONDS", "soon"),
            ("WORKER_CONCURRENCY", "0"),
            ("SMTP_TIMEOUT_SECONDS", "0"),
            ("SMTP_MAX_PER_SECOND", "0"),
            ("LIMITS", "some"),
            ("AUDIT_DETAILS_DAYS", "-1"),
            ("LIMIT_MAIL_DAY", "many"),
            ("SMTP_CA", "no certificate"),
            ("SMTP_EHLO_NAME", "vm"),
        ]);
        for key in [
            "SECRET_KEY",
            "SMTP_URL",
            "MAIL_FROM",
            "SUPPORT_ADDRESS",
            "OTP_DIGITS",
            "OTP_SECONDS",
            "WORKER_CONCURRENCY",
            "SMTP_TIMEOUT_SECONDS",
            "SMTP_MAX_PER_SECOND",
            "LIMITS",
            "AUDIT_DETAILS_DAYS",
            "LIMIT_MAIL_DAY",
            "SMTP_CA_FILE",
            "SMTP_EHLO_NAME",
        ] {
            assert!(
                faults.contains(&format!("{key}: expected")),
                "{key}: {faults}"
            );
        }
        assert!(!faults.contains("hunter2") && !faults.contains("plain"));
    }

    #[test]
    fn smtp_url_with_raw_delimiter_requests_percent_encoding() {
        for delimiter in ['#', '/', '?', '@'] {
            let url = format!("smtp://ada:hun{delimiter}ter2@mail.example.com");
            let faults = faults(&[KEY, ("SMTP_URL", &url)]);
            assert!(faults.contains("SMTP_URL: expected"), "{faults}");
            assert!(faults.contains("percent-encoded: # is %23"), "{faults}");
            assert!(
                !faults.contains("hun") && !faults.contains("ter2"),
                "{faults}"
            );
        }
    }

    #[test]
    fn production_refuses_smtp_credentials_in_the_open() {
        let of = |environment: &str, url: &str| {
            let settings = Settings::from_pairs([
                ("SECRET_KEY", "7tKq9vXw2LmZ4pRb8sYc1nHd6fJg3aTe"),
                ("ENVIRONMENT", environment),
                ("MAIL_FROM", "no-reply@example.com"),
                ("SMTP_URL", url),
            ]);
            Config::read(settings).map_or_else(|error| error.to_string(), |_| String::new())
        };
        for open in [
            "smtp://u:p@mail.example.com?tls=none",
            "smtp://u:p@10.0.0.1?tls=none",
            "smtp://u:p@mail.example.com?tls=opportunistic",
        ] {
            let refused = of("production", open);
            assert!(
                refused.contains("SMTP_URL: expected TLS in production"),
                "{open}: {refused}"
            );
            assert_eq!(of("development", open), "");
        }
        for fine in [
            "smtp://u:p@mail.example.com",
            "smtps://u:p@mail.example.com",
            "smtp://mail.example.com?tls=none",
            "smtp://u:p@127.0.0.1?tls=none",
            "smtp://u:p@[::1]?tls=none",
            "smtp://u:p@localhost?tls=none",
        ] {
            assert_eq!(of("production", fine), "", "{fine}");
        }
    }

    #[test]
    fn empty_limits_are_refused() {
        let refused = faults(&[KEY, ("LIMITS", "")]);
        assert!(
            refused.contains("LIMITS: expected on or off, or no LIMITS at all"),
            "{refused}"
        );
    }
}
