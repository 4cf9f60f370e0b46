//! `deploy/example.env` names every variable that the programs read, and no other.

use std::{collections::BTreeSet, fs, path::Path};

/// The files that read the configuration.
const READERS: [&str; 4] = [
    "shared/src/config.rs",
    "api/src/config.rs",
    "worker/src/config.rs",
    "shared/src/metrics.rs",
];

#[test]
fn the_example_names_every_variable_and_no_other() {
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

fn is_variable(text: &str) -> bool {
    text.len() > 3
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
