//! `deploy/example.env` names every variable that the programs read, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    path::Path,
};

use latchkey_shared::config::settings::Settings;

/// The files that read the configuration.
const READERS: [&str; 6] = [
    "shared/src/config/mod.rs",
    "shared/src/config/service_url.rs",
    "api/src/config/mod.rs",
    "api/src/config/proxies.rs",
    "worker/src/config/mod.rs",
    "shared/src/telemetry/metrics.rs",
];

#[test]
fn example_env_names_exactly_the_variables_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let example = read("deploy/example.env");
    let named: BTreeSet<_> = example
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| is_variable(name))
        .map(str::to_owned)
        .collect();

    let mut used: BTreeSet<_> = READERS
        .iter()
        .flat_map(|path| {
            let source = read(path);
            let source = source
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .to_owned();
            source
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|text| is_variable(text))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();

    // Of a value that always comes from a file the example names the file.
    used.retain(|name| !named.contains(&format!("{name}_FILE")));
    used.extend(
        named
            .iter()
            .filter(|name| name.ends_with("_CA_FILE"))
            .cloned(),
    );
    assert_eq!(named, used);
}

/// What a program is told with all of the example, and with nothing of it.
fn both<T: Debug>(
    example: &BTreeMap<String, String>,
    more: &[(&str, &str)],
    read: impl Fn(Settings) -> T,
) -> [String; 2] {
    let needed = || more.iter().map(|(key, value)| (*key, *value));
    let with_all = example
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain(needed());
    [
        format!("{:#?}", read(Settings::from_pairs(with_all))),
        format!("{:#?}", read(Settings::from_pairs(needed()))),
    ]
}

/// T1, T3, T5 and all others: a default that is changed is changed here, too.
#[test]
fn example_env_values_are_the_defaults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example: BTreeMap<_, _> = fs::read_to_string(root.join("deploy/example.env"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .filter(|(name, _)| is_variable(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let key = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");
    let api = |settings| latchkey_api::config::Config::read(settings).unwrap();
    let worker = |settings| latchkey_worker::config::Config::read(settings).unwrap();

    let [with, without] = both(&example, &[key], api);
    assert_eq!(with, without);
    // The figures of the worker are one port further, as the example says.
    let bind = ("METRICS_BIND", "127.0.0.1:9101");
    let smtp = ("SMTP_URL", "smtp://mail.example.com");
    for more in [&[key, bind][..], &[key, bind, smtp]] {
        let [with, without] = both(&example, more, worker);
        assert_eq!(with, without);
    }
}

fn is_variable(text: &str) -> bool {
    text.len() > 3
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
