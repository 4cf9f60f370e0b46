//! The write check of Redis: a script that runs every command of the programs. Permissions (ACL) can forbid single commands, and
//! scripts as a whole.

use crate::redis::TypedKey;

/// The script.
pub(crate) const SCRIPT: &str = include_str!("write_check.lua");

/// The lifetime of the string that the check writes, in seconds.
pub(crate) const LIFETIME: i64 = 10;

/// The keys and arguments of [`SCRIPT`].
pub(crate) struct WriteCheck {
    pub keys: Vec<String>,
    pub arguments: Vec<String>,
}

impl WriteCheck {
    /// Creates the check. The keys that it writes begin with `prefix`. `expected` are keys of the programs.
    pub(crate) fn new(prefix: &str, expected: impl IntoIterator<Item = TypedKey>) -> Self {
        let own = ["", ":hash", ":zset", ":list", ":set"];
        let mut keys: Vec<_> = own.iter().map(|name| format!("{prefix}{name}")).collect();
        let mut arguments = vec![LIFETIME.to_string()];
        for (key, kind) in expected {
            keys.push(key);
            arguments.push(kind.to_owned());
        }
        Self { keys, arguments }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::SCRIPT;

    /// Returns the commands that a text calls in Lua.
    fn commands(text: &str) -> impl Iterator<Item = String> {
        text.split("redis.call(").skip(1).filter_map(|call| {
            let call = call.trim_start().strip_prefix(['\'', '"'])?;
            let name = call.split(['\'', '"']).next()?;
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphabetic());
            is_name.then(|| name.to_lowercase())
        })
    }

    /// Adds the commands of all scripts in a folder of sources.
    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|it| it == "lua" || it == "rs") {
                found.extend(commands(&fs::read_to_string(path).unwrap()));
            }
        }
    }

    /// R2: the check covers the commands of all scripts.
    #[test]
    fn write_check_runs_commands_of_all_scripts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut used = BTreeSet::new();
        for program in ["api", "worker", "shared"] {
            collect(&root.join(program).join("src"), &mut used);
        }
        let checked: BTreeSet<_> = commands(SCRIPT).collect();

        let missing: Vec<_> = used.difference(&checked).collect();

        assert!(used.contains("zremrangebyrank"), "{used:?}");
        assert!(missing.is_empty(), "{missing:?}");
    }
}
