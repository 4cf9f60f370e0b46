"""Tests a generated Python client against a running API: registration, login, profile and password change.

openapi-python-client generates the client from openapi/openapi.json; deploy/checks/test-client runs this script.

Usage: check_client.py <folder of the package latchkey_client> <API URL> <command to activate an email …>
"""

import importlib
import json
import pkgutil
import subprocess
import sys
import typing
import uuid

package_folder, api_url, *activate_command = sys.argv[1:]
sys.path.insert(0, package_folder)

import latchkey_client  # noqa: E402 (generated)

passed = 0


def check(description, actual, expected):
    global passed
    if actual != expected:
        print(f"{description}: expected {expected!r}, got {actual!r}", file=sys.stderr)
        sys.exit(f"test result: FAILED. {passed} passed; 1 failed")
    print(f"ok: {description}")
    passed += 1


def operation_module(name):
    """Returns the generated module of an operation. Its package depends on the operation's tag."""
    package = importlib.import_module("latchkey_client.api")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name.rpartition(".")[2] == name:
            return importlib.import_module(module.name)
    sys.exit(f"openapi/openapi.json has no operation {name}")


def call(operation, client, body=None):
    """Calls an operation, with a JSON body if there is one, and returns the client's response."""
    function = operation_module(operation).sync_detailed
    if body is None:
        return function(client=client)
    # The parameter is a union of one type per content type. The first is the JSON type.
    hint = typing.get_type_hints(function)["body"]
    json_type = (typing.get_args(hint) or (hint,))[0]
    return function(client=client, body=json_type.from_dict(body))


def to_dict(parsed):
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
logged_in_account = {"email": email, "is_activated": True}

sent_requests = []
anonymous = latchkey_client.Client(base_url=api_url, httpx_args={"event_hooks": {"request": [sent_requests.append]}})

response = call("register", anonymous, account | {"password": password})
check("register returns 201", response.status_code, 201)
check("register returns the profile", to_dict(response.parsed), profile)

response = call("register", anonymous, account | {"password": password})
check("register with a taken email returns 409", response.status_code, 409)

response = call("login", anonymous, credentials)
check("login before activation returns 403", response.status_code, 403)
check("login before activation returns a problem document", response.parsed.status, 403)

subprocess.run([*activate_command, email], check=True, stdin=subprocess.DEVNULL)

response = call("login", anonymous, credentials | {"password": "not the password"})
check("login with a wrong password returns 401", response.status_code, 401)

response = call("login", anonymous, credentials)
check("login returns 200", response.status_code, 200)
check("login sends a JSON body", sent_requests[-1].headers["content-type"], "application/json")
check("login sends only the email and the password", json.loads(sent_requests[-1].read()), credentials)
check("login returns the success message", response.parsed.detail, "Logged in Successfully")
check("login returns the account's email and status", to_dict(response.parsed.data), logged_in_account)

logged_in = latchkey_client.AuthenticatedClient(base_url=api_url, token=response.parsed.token.access)
response = call("get_user", logged_in)
check("get_user returns 200", response.status_code, 200)
check("get_user returns the activated profile", to_dict(response.parsed), profile | {"is_activated": True})

password_change = {"password": password, "new_password": f"Difference {uuid.uuid4().hex}"}
response = call("change_password", logged_in, password_change)
check("change_password returns 200", response.status_code, 200)
check("get_user with the old access token returns 401", call("get_user", logged_in).status_code, 401)
logged_in = latchkey_client.AuthenticatedClient(base_url=api_url, token=response.parsed.access)
check("get_user with the new access token returns 200", call("get_user", logged_in).status_code, 200)

check("list_accounts without staff permissions returns 403", call("list_accounts", logged_in).status_code, 403)

invalid = latchkey_client.AuthenticatedClient(base_url=api_url, token="not.a.token")
check("get_user with an invalid token returns 401", call("get_user", invalid).status_code, 401)

print(f"test result: ok. {passed} passed; 0 failed (generated Python client)")
