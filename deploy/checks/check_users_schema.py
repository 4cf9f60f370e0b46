"""Validates files of JSON lines against a JSON Schema, and checks that the schema refuses lines that the import refuses.

Usage: check_users_schema.py <schema> <files …>
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

schema = json.loads(Path(sys.argv[1]).read_text())
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
problems, count = [], 0
for name in sys.argv[2:]:
    for number, line in enumerate(Path(name).read_text().splitlines(), 1):
        count += 1
        # Only the place and the rule, because a line has a password hash.
        problems += [f"{name}:{number}: {e.json_path}: {e.validator}" for e in validator.iter_errors(json.loads(line))]
email = {"email": "ada@example.com"}
for invalid in [
    {},
    {**email, "first_name": "Ada"},
    {**email, "id": 0},
    {**email, "is_staff": "yes"},
    {**email, "permissions": "audit"},
    {**email, "roles": ["Support"]},
    {**email, "roles": [{"name": "Support"}]},
]:
    if validator.is_valid(invalid):
        problems.append(f"the schema accepts {json.dumps(invalid)}")
if count < 100:
    problems.append(f"only {count} lines")
print("\n".join(problems) or f"{count} lines are valid.")
sys.exit(bool(problems))
