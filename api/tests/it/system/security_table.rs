//! `deploy/docs/security.md` names an existing test for every promise.

use std::{fs, path::Path};

/// Folders that contain tests, searched with their subfolders.
const FOLDERS: &[&str] = &[
    "api/src",
    "api/tests/it",
    "shared/src",
    "worker/src",
    "worker/tests/it",
];

/// Appends the text of every Rust file in a folder and in the folders below it.
fn read_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Every promise of the table names a test, and each of these tests exists.
#[test]
fn security_table_names_existing_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    for folder in FOLDERS {
        read_sources(&root.join(folder), &mut sources);
    }
    let table = fs::read_to_string(root.join("deploy/docs/security.md")).unwrap();

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

    // The last of the four cells of a promise names its tests.
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
