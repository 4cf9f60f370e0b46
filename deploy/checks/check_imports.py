"""Fails when a folder of `api/src` imports from a folder above it, or when two folders import each other.

The order of the folders is that of deploy/docs/architecture.md. `app_state` names the services of all folders and stands outside
the order; tests may import anything. Prints one line for each wrong import. Takes the source folder as an optional argument.
"""

import re
import sys
from pathlib import Path

ORDER = ["cli", "server", "openapi", "admin", "accounts", "auth", "passwords", "rate_limit", "http", "config"]
SOURCE = Path(sys.argv[1] if len(sys.argv) > 1 else "api/src")


def imported(text):
    """Yields the first segment of each path that begins with `crate::`, also inside braces, with the line's number."""
    text = re.sub(r"//.*", "", text).split("#[cfg(test)]\nmod tests {")[0]
    for match in re.finditer(r"\bcrate::(\{|\w+)", text):
        line = text.count("\n", 0, match.start()) + 1
        if match[1] != "{":
            yield match[1], line
            continue
        depth, name, position = 1, "", match.end()
        while depth and position < len(text):
            character = text[position]
            if depth == 1 and character in ",}":
                yield name.split("::")[0].strip(), line
                name = ""
            elif depth == 1:
                name += character
            depth += {"{": 1, "}": -1}.get(character, 0)
            position += 1


wrong = []
for file in sorted(SOURCE.rglob("*.rs")):
    folder = file.relative_to(SOURCE).parts[0].removesuffix(".rs")
    if folder not in ORDER or file.name == "tests.rs":
        continue
    for name, line in imported(file.read_text()):
        if name in ORDER and ORDER.index(name) < ORDER.index(folder):
            wrong.append(f"{file}:{line}: {folder} must not import {name}, which is above it")

if not list(SOURCE.rglob("*.rs")):
    wrong.append(f"{SOURCE} has no Rust files")
print("\n".join(wrong) or "Imports run downwards only.")
sys.exit(bool(wrong))
