"""Registers, logs in and reads the profile with the client that was generated from openapi/openapi.json.

Usage: check_client.py <folder of the package latchkey_client> <URL of the API> <command that activates an address …>
"""

import importlib
import json
import pkgutil
import subprocess
import sys
import typing
import uuid

folder, api_url, *activate = sys.argv[1:]
sys.path.insert(0, folder)

import latchkey_client  # noqa: E402 (generated)

passed = 0


def check(what, actual, expected):
    global passed
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}\ntest result: FAILED. {passed} passed; 1 failed")
    print(f"ok: {what}")
    passed += 1


def operation(name):
    """The generated module of an operation, under whatever tag it is."""
    package = importlib.import_module("latchkey_client.api")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name.rpartition(".")[2] == name:
            return importlib.import_module(module.name)
    sys.exit(f"the document has no operation {name}")


def call(name, client, body=None):
    function = operation(name).sync_detailed
    if body is None:
        return function(client=client)
    # The first of the body's types is that of JSON.
    hint = typing.get_type_hints(function)["body"]
    body_type = (typing.get_args(hint) or (hint,))[0]
    return function(client=client, body=body_type.from_dict(body))


def facts(parsed):
    return parsed.to_dict() if parsed is not None else None


email = f"ada-{uuid.uuid4().hex[:8]}@example.com"
password = f"Analytical {uuid.uuid4().hex}"
account = {
    "email": email,
    "username": "Ada Lovelace",
    "phoneNumber": "+201001234567",
    "dateBirth": "1990-12-10",
    "gender": "female",
}
credentials = {"email": email, "password": password}
profile = account | {"image": None, "is_activated": False}

sent = []
anonymous = latchkey_client.Client(base_url=api_url, httpx_args={"event_hooks": {"request": [sent.append]}})

answer = call("register", anonymous, account | {"password": password})
check("register answers 201", answer.status_code, 201)
check("register returns the profile", facts(answer.parsed), profile)

answer = call("register", anonymous, account | {"password": password})
check("the address is unique", answer.status_code, 409)

answer = call("login", anonymous, credentials)
check("an account that is not activated is turned away", answer.status_code, 403)
check("with a problem document", answer.parsed.status, 403)

subprocess.run([*activate, email], check=True, stdin=subprocess.DEVNULL)

answer = call("login", anonymous, credentials | {"password": "not the password"})
check("a wrong password is turned away", answer.status_code, 401)

answer = call("login", anonymous, credentials)
check("login answers 200", answer.status_code, 200)
check("the client sends JSON", sent[-1].headers["content-type"], "application/json")
check("and that alone", json.loads(sent[-1].read()), credentials)
check("login says so", answer.parsed.detail, "Logged in Successfully")
check("login says who", facts(answer.parsed.data), {"email": email, "is_activated": True})

bearer = latchkey_client.AuthenticatedClient(base_url=api_url, token=answer.parsed.token.access)
answer = call("get_user", bearer)
check("the profile answers 200", answer.status_code, 200)
check("the profile is as registered, and activated", facts(answer.parsed), profile | {"is_activated": True})

changed = {"password": password, "new_password": f"Difference {uuid.uuid4().hex}"}
answer = call("change_password", bearer, changed)
check("a change of the password answers 200", answer.status_code, 200)
check("its access token is of the old session no more", call("get_user", bearer).status_code, 401)
bearer = latchkey_client.AuthenticatedClient(base_url=api_url, token=answer.parsed.access)
check("and opens the profile", call("get_user", bearer).status_code, 200)

check("the calls of administrators are not for everybody", call("list_accounts", bearer).status_code, 403)

wrong = latchkey_client.AuthenticatedClient(base_url=api_url, token="not.a.token")
check("the profile needs a valid token", call("get_user", wrong).status_code, 401)

print(f"test result: ok. {passed} passed; 0 failed (generated Python client)")
