//! `deploy/example.env` names every variable that the programs read, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    path::Path,
};

use latchkey_shared::config::settings::Settings;

/// The files that read the configuration.
const READERS: [&str; 18] = [
    "shared/src/config/mail.rs",
    "shared/src/config/mod.rs",
    "shared/src/config/secret_keys.rs",
    "shared/src/config/service_url.rs",
    "shared/src/config/settings.rs",
    "api/src/config/accounts.rs",
    "api/src/config/connections.rs",
    "api/src/config/cors.rs",
    "api/src/config/hash_cost.rs",
    "api/src/config/mod.rs",
    "api/src/config/passwords.rs",
    "api/src/config/proxies.rs",
    "api/src/config/rates.rs",
    "api/src/config/sessions.rs",
    "api/src/config/tokens.rs",
    "worker/src/config/mod.rs",
    "worker/src/config/retention.rs",
    "shared/src/telemetry/metrics.rs",
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap()
}

/// Returns the settings of the example with their values.
pub(crate) fn settings() -> BTreeMap<String, String> {
    read("deploy/example.env")
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .filter(|(name, _)| is_variable(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn is_variable(text: &str) -> bool {
    text.len() > 3
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Operators find each setting in the example, and none that has no effect.
#[test]
fn example_env_names_exactly_the_variables_read() {
    let named: BTreeSet<_> = settings().into_keys().collect();
    let mut used = BTreeSet::new();
    for path in READERS {
        let source = read(path);
        let code = source.split("#[cfg(test)]").next().unwrap();
        let literals = code.split('"').skip(1).step_by(2);
        used.extend(literals.filter(|it| is_variable(it)).map(str::to_owned));
    }
    // The example names the file where a value always comes from one.
    used.retain(|name| !named.contains(&format!("{name}_FILE")));
    let ca_files = named.iter().filter(|name| name.ends_with("_CA_FILE"));
    used.extend(ca_files.cloned());
    assert_eq!(named, used);
}

/// Returns the configuration that a program reads from the whole example, and from the required settings only.
fn with_and_without<T: Debug>(
    example: &BTreeMap<String, String>,
    required: &[(&str, &str)],
    read: impl Fn(Settings) -> T,
) -> [String; 2] {
    let all = example
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain(required.iter().copied());
    [
        format!("{:#?}", read(Settings::from_pairs(all))),
        format!(
            "{:#?}",
            read(Settings::from_pairs(required.iter().copied()))
        ),
    ]
}

/// T1, T3, T5: the example documents the default of every limit and every other setting.
#[test]
fn example_env_values_are_the_defaults() {
    let example = settings();
    let key = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");
    let api = |settings| latchkey_api::config::Config::read(settings).unwrap();
    let worker = |settings| latchkey_worker::config::Config::read(settings).unwrap();

    let [with, without] = with_and_without(&example, &[key], api);
    assert_eq!(with, without);
    // By default, the worker serves its metrics on the next port, as the example says.
    let bind = ("METRICS_BIND", "127.0.0.1:9101");
    let smtp = ("SMTP_URL", "smtp://mail.example.com");
    for required in [&[key, bind][..], &[key, bind, smtp]] {
        let [with, without] = with_and_without(&example, required, worker);
        assert_eq!(with, without);
    }
}
