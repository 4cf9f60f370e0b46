//! The command line.

pub(crate) mod commands;
mod export_jsonl;
pub(crate) mod import;
mod import_jsonl;
mod import_original;
mod keys;
mod secret_key;

/// Asserts that a command's output has these parts.
#[track_caller]
pub(crate) fn contains_all(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(output.contains(part), "{part} is not in: {output}");
    }
}
