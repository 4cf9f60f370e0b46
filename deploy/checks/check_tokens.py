"""Verifies the access token of a new account with each example program.

Usage: check_tokens.py <ES256 or EdDSA> <PUBLIC_URL> <command of an example> …
"""

import base64
import json
import shlex
import subprocess
import sys
import urllib.request

algorithm, url, *commands = sys.argv[1:]
passed = 0


def check(what, is_true, details=""):
    global passed
    if not is_true:
        sys.exit(f"failed: {what} {details}\ntest result: FAILED. {passed} passed; 1 failed")
    print(f"ok: {what}", flush=True)
    passed += 1


def post(path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def decode(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encode(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def run(command, token, audience="shop"):
    """Returns the exit code and the output of an example."""
    result = subprocess.run(
        [*shlex.split(command), url, audience], input=token, capture_output=True, text=True, timeout=60, check=False
    )
    return result.returncode, result.stdout.strip()


account = {"email": "ada@example.com", "password": "velvet harbour lantern"}
post("/api/register/", {**account, "username": "Ada"})
token = post("/api/login/", account)["token"]["access"]
header, payload, signature = token.split(".")
claims = decode(payload)
check(f"the token is signed with {algorithm}", decode(header)["alg"] == algorithm)

forged = ".".join([header, encode({**claims, "sub": "1000"}), signature])
unsigned = ".".join([encode({"alg": "none", "typ": "JWT"}), payload, ""])
for command in commands:
    name = command.split("/")[-1]
    result = run(command, token)
    check(f"{name} accepts the {algorithm} token and prints its user", result == (0, claims["sub"]), result)
    for what, invalid, audience in [
        ("a forged token", forged, "shop"),
        ("an unsigned token", unsigned, "shop"),
        ("a token for another audience", token, "bank"),
    ]:
        result = run(command, invalid, audience)
        check(f"{name} rejects {what}", result[0] != 0 and not result[1], result)

print(f"test result: ok. {passed} passed; 0 failed ({algorithm})")
