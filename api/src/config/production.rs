//! Checks of the configuration in production, and warnings at the start.

use ipnet::IpNet;
use latchkey_shared::config::{
    rate::Rate,
    settings::{Environment, Settings},
};

use crate::config::{Config, accounts::EmailChange, rates::Rates, tokens::AccessTokenSecret};

/// Maximum of a rate limit per client IP in production, as a multiple of its default. Many users may share a client IP.
const MAX_IP_FACTOR: u32 = 100;

/// Maximum of any other rate limit in production, as a multiple of its default.
const MAX_FACTOR: u32 = 10;

/// Maximum of `LIMIT_LOGIN_FAILURES` in production (NIST SP 800-63B-4, 3.2.2).
const MAX_FAILURES: u32 = 100;

/// Maximum of `LIMIT_LOGIN_FREE_FAILURES` in production.
const MAX_FREE_FAILURES: u32 = 20;

/// Minimum of `LIMIT_MAX_COUNTERS` in production. With fewer, little traffic evicts the counters of other clients.
const MIN_COUNTERS: u32 = 10_000;

/// The share of all IPv4 or IPv6 addresses below which the networks of trusted proxies must stay.
const MAX_TRUSTED_SHARE: f64 = 1.0 / 8.0;

/// Refuses a rate limit that is too high to protect.
pub(super) fn check_rate(settings: &mut Settings, key: &str, rate: Rate, default: Rate) {
    let factor = if key.ends_with("_IP") {
        MAX_IP_FACTOR
    } else {
        MAX_FACTOR
    };
    if rate.exceeds(default, factor) {
        settings.fault(
            key,
            &format!("at most {factor} times {default} in production, or LIMITS=off"),
        );
    }
}

/// Refuses numbers of failed logins, or of counters, that make guessing possible.
pub(super) fn check_failures(settings: &mut Settings, rates: &Rates) {
    for (key, value, max) in [
        (
            "LIMIT_LOGIN_FREE_FAILURES",
            rates.free_failures,
            MAX_FREE_FAILURES,
        ),
        ("LIMIT_LOGIN_FAILURES", rates.max_failures, MAX_FAILURES),
    ] {
        if value > max {
            settings.fault(key, &format!("at most {max} in production, or LIMITS=off"));
        }
    }
    if rates.max_counters < MIN_COUNTERS {
        let expected = format!("at least {MIN_COUNTERS} in production, or LIMITS=off");
        settings.fault("LIMIT_MAX_COUNTERS", &expected);
    }
}

/// Refuses a secret that other services verify tokens with if it can be guessed.
pub(super) fn check_access_token_secret(settings: &mut Settings, secret: &AccessTokenSecret) {
    let key = "ACCESS_TOKEN_SECRET";
    if secret.is_short() {
        let expected = "at least 32 bytes in production (openssl rand -base64 32)";
        settings.fault(key, expected);
    } else if secret.is_guessable() {
        let expected = "random bytes in production (openssl rand -base64 32)";
        settings.fault(key, expected);
    }
}

/// Refuses proxy networks so large that clients are in them, and could send any client IP.
pub(super) fn check_proxies(settings: &mut Settings, networks: &[IpNet]) {
    let networks = IpNet::aggregate(&networks.to_vec());
    let share = |of_family: fn(&&IpNet) -> bool| -> f64 {
        let networks = networks.iter().filter(of_family);
        networks
            .map(|network| 0.5_f64.powi(i32::from(network.prefix_len())))
            .sum()
    };
    let v4 = share(|network| matches!(network, IpNet::V4(_)));
    let v6 = share(|network| matches!(network, IpNet::V6(_)));
    if v4.max(v6) >= MAX_TRUSTED_SHARE {
        settings.fault(
            "TRUSTED_PROXIES",
            "in production the networks of your own proxies, together less than an eighth of all IPv4 or IPv6 addresses",
        );
    }
}

impl Config {
    /// Returns warnings to log at the start, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let binds = [
            ("BIND", Some(self.bind)),
            ("METRICS_BIND", self.metrics_bind),
        ];
        let environment = self.common.environment;
        let mut warnings: Vec<_> = binds
            .into_iter()
            .filter_map(|(key, bind)| environment.bind_warning(key, bind?))
            .collect();
        if !self.rates.enabled {
            warnings.push(
                "LIMITS is off: nothing is rate limited, and passwords and codes can be guessed. Set LIMITS=on."
                    .to_owned(),
            );
        }
        if environment == Environment::Production
            && self.accounts.email_change == EmailChange::Immediate
        {
            warnings.push(
                "EMAIL_CHANGE is immediate: users can take emails that they do not own, without a password. Set EMAIL_CHANGE=confirm \
                 once your clients ask for the password and the code."
                    .to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "7tKq9vXw2LmZ4pRb8sYc1nHd6fJg3aTe";

    fn faults(pairs: &[(&str, &str)]) -> String {
        let all = [("SECRET_KEY", KEY), ("ENVIRONMENT", "production")];
        let settings = Settings::from_pairs(all.iter().chain(pairs).copied());
        Config::read(settings).map_or_else(|error| error.to_string(), |_| String::new())
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        let key = [("SECRET_KEY", KEY)];
        Config::read(Settings::from_pairs(key.iter().chain(pairs).copied())).unwrap()
    }

    #[test]
    fn production_accepts_the_defaults() {
        assert_eq!(faults(&[]), "");
    }

    /// T4
    #[test]
    fn production_refuses_huge_proxy_networks() {
        for bad in [
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/8, ::/0",
            "0.0.0.0/1, 128.0.0.0/1",
            "2000::/3",
            "64.0.0.0/3, 10.0.0.0/8",
        ] {
            let faults = faults(&[("TRUSTED_PROXIES", bad)]);
            assert!(
                faults.contains("TRUSTED_PROXIES: expected in production the networks"),
                "{bad}: {faults}"
            );
        }
        for good in [
            "",
            "10.0.0.0/8",
            "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, 127.0.0.1",
        ] {
            assert_eq!(faults(&[("TRUSTED_PROXIES", good)]), "", "{good}");
        }
        config(&[("TRUSTED_PROXIES", "0.0.0.0/0")]);
    }

    /// T1, T3, T5
    #[test]
    fn production_refuses_limits_too_high_to_protect() {
        for (key, bad, good) in [
            ("LIMIT_LOGIN_IP", "100000/1", "6000/60"),
            ("LIMIT_LOGIN_IP", "6001/60", "5/1"),
            ("LIMIT_EMAIL_CHANGE", "101/3600", "100/3600"),
            ("LIMIT_EMAIL_CHANGE", "100/3599", "100/86400"),
            ("LIMIT_INVITATION", "601/3600", "600/3600"),
            ("LIMIT_PICTURE_IP", "100000/2592000", "6000/3600"),
            ("LIMIT_PICTURE_ACCOUNT", "201/3600", "1/1000000"),
            ("LIMIT_LOGIN_FAILURES", "101", "100"),
            ("LIMIT_LOGIN_FREE_FAILURES", "21", "20"),
            ("LIMIT_MAX_COUNTERS", "9999", "10000"),
        ] {
            let refused = faults(&[(key, bad)]);
            assert!(
                refused.contains(&format!("{key}: expected at "))
                    && refused.contains("in production, or LIMITS=off"),
                "{key}={bad}: {refused}"
            );
            assert_eq!(faults(&[(key, good)]), "", "{key}={good}");
            assert_eq!(faults(&[(key, bad), ("LIMITS", "off")]), "");
            config(&[(key, bad)]);
        }
        let refused = faults(&[("LIMITS", "none")]);
        assert!(refused.contains("LIMITS: expected on or off"), "{refused}");
    }

    #[test]
    fn production_refuses_http_beyond_loopback() {
        for bad in ["http://accounts.example.com", "http://10.0.0.1:8000"] {
            let faults = faults(&[("PUBLIC_URL", bad)]);
            assert!(
                faults.contains("PUBLIC_URL: expected an https:// URL in production"),
                "{faults}"
            );
            config(&[("PUBLIC_URL", bad)]);
        }
        for good in [
            "https://accounts.example.com",
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "http://localhost:8000",
        ] {
            assert_eq!(faults(&[("PUBLIC_URL", good)]), "", "{good}");
        }
    }

    #[test]
    fn production_refuses_a_weak_secret_key_and_never_shows_it() {
        let weak = "a".repeat(32);
        let faults = faults(&[("SECRET_KEY", &weak)]);
        assert!(
            faults.contains("SECRET_KEY: expected random bytes"),
            "{faults}"
        );
        assert!(!faults.contains(&weak), "{faults}");
        config(&[("SECRET_KEY", &weak)]);
    }

    /// S1: a token of one kind must not be valid as one of another.
    #[test]
    fn original_key_differs_from_other_keys() {
        let expected = "ORIGINAL_SECRET_KEY: expected the SECRET_KEY of the original, other than";
        for (name, other) in [
            ("SECRET_KEY", KEY),
            ("SECRET_KEY_PREVIOUS", "first, the other one"),
            ("ACCESS_TOKEN_SECRET", "the other one"),
        ] {
            let same = if name == "SECRET_KEY" {
                KEY
            } else {
                "the other one"
            };
            let faults = faults(&[(name, other), ("ORIGINAL_SECRET_KEY", same)]);
            assert!(faults.contains(expected), "{name}: {faults}");
        }
        let short = config(&[("SECRET_KEY", KEY), ("ORIGINAL_SECRET_KEY", "short")]);
        assert!(!format!("{:?}", short.tokens).contains("short"));
    }

    /// RFC 7518, 3.2: services that verify tokens share the secret, so it is not `SECRET_KEY`.
    #[test]
    fn access_token_secret_is_required_for_hs256_strong_and_its_own() {
        let hs256 = ("ACCESS_TOKEN_ALGORITHM", "HS256");
        let secret = |text| ("ACCESS_TOKEN_SECRET", text);
        let strong = "Zk3vR8qLx1Tn6WcYh4Pd9MsJb2Gf7UaE";
        for (settings, expected) in [
            (
                vec![hs256],
                "at least 32 random bytes with ACCESS_TOKEN_ALGORITHM=HS256",
            ),
            (
                vec![hs256, secret(KEY)],
                "another value than those of SECRET_KEY and SECRET_KEY_PREVIOUS",
            ),
            (
                vec![hs256, secret("short")],
                "at least 32 bytes in production",
            ),
            (
                vec![secret("abababababababababababababababab")],
                "random bytes in production",
            ),
        ] {
            let refused = faults(&settings);
            let expected = format!("ACCESS_TOKEN_SECRET: expected {expected}");
            assert!(refused.contains(&expected), "{refused}");
        }
        assert_eq!(faults(&[hs256, secret(strong)]), "");
        assert_eq!(faults(&[secret(strong)]), "");
        assert!(!format!("{:?}", config(&[secret(strong)])).contains(strong));
    }

    #[test]
    fn token_audience_is_one_short_line() {
        let long = "a".repeat(201);
        for bad in ["a\nb", long.as_str()] {
            let refused = faults(&[("TOKEN_AUDIENCE", bad)]);
            assert!(
                refused.contains("TOKEN_AUDIENCE: expected a name"),
                "{refused}"
            );
        }
        assert_eq!(
            config(&[("TOKEN_AUDIENCE", "shop")])
                .tokens
                .audience
                .as_deref(),
            Some("shop")
        );
    }

    #[test]
    fn development_on_reachable_address_warns() {
        assert!(config(&[]).warnings().is_empty());
        for (key, bind) in [
            ("BIND", "0.0.0.0:8000"),
            ("BIND", "192.0.2.1:8000"),
            ("METRICS_BIND", "[::]:9100"),
        ] {
            let warnings = config(&[(key, bind)]).warnings();
            assert_eq!(warnings.len(), 1);
            assert!(warnings[0].contains(key), "{warnings:?}");
            let production = [
                (key, bind),
                ("ENVIRONMENT", "production"),
                ("EMAIL_CHANGE", "confirm"),
            ];
            assert!(config(&production).warnings().is_empty());
        }
        let off = config(&[("LIMITS", "off"), ("ENVIRONMENT", "production")]);
        assert!(off.warnings()[0].contains("LIMITS is off"));
        assert!(off.warnings()[1].contains("EMAIL_CHANGE is immediate"));
    }

    #[test]
    fn empty_enumerated_settings_are_refused_with_the_accepted_values() {
        for (key, expected) in [
            ("ENVIRONMENT", "development or production"),
            ("LOG_FORMAT", "text or json"),
            ("ACCESS_TOKEN_ALGORITHM", "ES256, EdDSA or HS256"),
            ("REFRESH_ROTATION", "on or off"),
            ("REGISTRATION_PRIVACY", "on or off"),
            ("ACTIVATION", "admin, email or none"),
            (
                "TRUSTED_PROXY_HEADER",
                "either, x-forwarded-for or forwarded",
            ),
            ("LIMITS", "on or off"),
        ] {
            for empty in ["", " "] {
                let refused = faults(&[(key, empty)]);
                assert!(
                    refused.contains(&format!("{key}: expected {expected}, or no {key} at all")),
                    "{refused}"
                );
            }
        }
    }

    #[test]
    fn lifetimes_have_upper_bounds() {
        for (key, max) in [
            ("ACCESS_TOKEN_SECONDS", 86_400),
            ("REFRESH_TOKEN_SECONDS", 31_536_000),
            ("SESSION_IDLE_SECONDS", 31_536_000),
            ("ADMIN_SESSION_SECONDS", 86_400),
            ("ADMIN_IDLE_SECONDS", 86_400),
            ("RESET_SECONDS", 86_400),
            ("JWKS_MAX_AGE_SECONDS", 86_400),
            ("SIGNING_KEY_DAYS", 366),
        ] {
            assert_eq!(faults(&[(key, &max.to_string())]), "");
            let refused = faults(&[(key, &(max + 1).to_string())]);
            let expected = format!("{key}: expected a number from 1 to {max}");
            assert!(refused.contains(&expected), "{refused}");
        }
    }

    #[test]
    fn max_connections_ip_is_at_most_max_connections() {
        let refused = faults(&[("MAX_CONNECTIONS", "64"), ("MAX_CONNECTIONS_IP", "65")]);
        assert!(
            refused
                .contains("MAX_CONNECTIONS_IP: expected a number from 1 to MAX_CONNECTIONS (64)"),
            "{refused}"
        );
        let few = config(&[("MAX_CONNECTIONS", "64")]);
        assert_eq!(few.connections.max_per_ip, 64);
        assert_eq!(config(&[]).connections.max_per_ip, 128);
    }

    /// T4: client IPs are compared in IPv4 form.
    #[test]
    fn ipv4_mapped_trusted_proxies_are_refused() {
        for (mapped, ipv4) in [
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/64, ::ffff:192.0.2.1/128", "192.0.2.1/32"),
        ] {
            let refused = faults(&[("TRUSTED_PROXIES", mapped)]);
            let expected =
                format!("TRUSTED_PROXIES: expected {ipv4} instead of the IPv4-mapped network");
            assert!(refused.contains(&expected), "{refused}");
        }
    }
}
