"""Fails if a folder of api/src imports from a folder above it, and prints each such import.

deploy/docs/architecture.md documents the order of the folders. `app_state` has no place in it, because it holds the
services of all folders. Unit tests can import anything.

Usage: check_imports.py [<source folder>]
"""

import re
import sys
from pathlib import Path

# From top to bottom.
ORDER = ["cli", "server", "openapi", "admin", "export", "import", "accounts", "auth", "passwords", "rate_limit", "http", "config"]
SOURCE = Path(sys.argv[1] if len(sys.argv) > 1 else "api/src")


def imports(text):
    """Yields the first segment after each `crate::` and its line number, also for each path in `crate::{…}`."""
    text = re.sub(r"//.*", "", text).split("#[cfg(test)]\nmod tests {")[0]
    for match in re.finditer(r"\bcrate::(\{|\w+)", text):
        line = text.count("\n", 0, match.start()) + 1
        if match[1] != "{":
            yield match[1], line
            continue
        depth, name = 1, ""
        for character in text[match.end() :]:
            if depth == 1 and character in ",}":
                yield name.split("::")[0].strip(), line
                name = ""
            elif depth == 1:
                name += character
            depth += {"{": 1, "}": -1}.get(character, 0)
            if depth == 0:
                break


files = sorted(SOURCE.rglob("*.rs"))
violations = [] if files else [f"{SOURCE} contains no Rust files"]
for file in files:
    folder = file.relative_to(SOURCE).parts[0].removesuffix(".rs")
    if folder not in ORDER or file.name == "tests.rs":
        continue
    for name, line in imports(file.read_text()):
        if name in ORDER and ORDER.index(name) < ORDER.index(folder):
            violations.append(f"{file}:{line}: {folder} must not import {name}, which is above it")
print("\n".join(violations) or "Imports run downwards only.")
sys.exit(bool(violations))
