//! `deploy/security.md` names, for every promise, a test that there is.

use std::{fs, path::Path};

/// Where tests are.
const FOLDERS: &[&str] = &[
    "api/src",
    "api/src/password",
    "api/src/config",
    "api/src/picture",
    "api/tests/it",
    "shared/src",
    "shared/src/database",
    "shared/src/secret_key",
    "worker/src",
    "worker/src/smtp",
    "worker/tests/it",
    "worker/tests/it/chaos",
];

#[test]
fn every_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sources: String = FOLDERS
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let table = fs::read_to_string(root.join("deploy/security.md")).unwrap();

    let named: Vec<_> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            text.len() > 15
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect();

    // Of each row of the tables of promises, which have four cells, the last is for the tests.
    let promises: Vec<Vec<_>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| | promise"))
        .map(|line| line.split('|').collect())
        .filter(|cells: &Vec<_>| cells.len() == 6)
        .collect();
    assert!(promises.len() > 35, "{promises:#?}");
    let without: Vec<_> = promises
        .iter()
        .filter(|cells| {
            !named
                .iter()
                .any(|name| cells[4].contains(&format!("`{name}`")))
        })
        .collect();
    assert!(without.is_empty(), "without a test: {without:#?}");

    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
