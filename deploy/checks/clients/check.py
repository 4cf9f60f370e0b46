"""Tests the generated Python client against a running API: registration with a picture, login, profile and password change.

OpenAPI Generator generates the client from openapi/openapi.json; deploy/checks/test-clients runs this script.

Usage: check.py <folder of the package latchkey_client> <API URL> <command to activate an email …>
"""

import base64
import datetime
import importlib
import json
import pkgutil
import subprocess
import sys
import urllib.request
import uuid

package_folder, api_url, *activate_command = sys.argv[1:]
sys.path.insert(0, package_folder)

import latchkey_client  # noqa: E402 (generated)
from latchkey_client import models  # noqa: E402

# A PNG of one pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
passed = 0


def check(description, actual, expected):
    global passed
    if actual != expected:
        print(f"{description}: expected {expected!r}, got {actual!r}", file=sys.stderr)
        sys.exit(f"test result: FAILED. {passed} passed; 1 failed")
    print(f"ok: {description}")
    passed += 1


def client(token=None):
    return latchkey_client.ApiClient(latchkey_client.Configuration(host=api_url, access_token=token))


def refusal(call, **arguments):
    """Returns the status of a refused call, after a check of its problem document."""
    try:
        call(**arguments)
    except latchkey_client.ApiException as error:
        assert json.loads(error.body)["status"] == error.status, error.body
        return error.status
    return 200


for module in pkgutil.walk_packages(latchkey_client.__path__, "latchkey_client."):
    importlib.import_module(module.name)

birthday = datetime.date(1990, 2, 28)
password = f"Analytical {uuid.uuid4().hex}"
registration = models.Registration(
    email=f"ada-{uuid.uuid4().hex}@example.com",
    username="Ada Lovelace",
    password=password,
    phone_number="+201001234567",
    image=f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}",
    date_birth=birthday,
    gender=models.Gender.FEMALE,
)
credentials = models.Credentials(email=registration.email, password=password)
wrong_credentials = models.Credentials(email=registration.email, password="not the password")
accounts = latchkey_client.AccountApi(client())
sessions = latchkey_client.SessionApi(client())

response = accounts.register_with_http_info(registration)
check("register returns 201", response.status_code, 201)
check("register returns the date of birth", response.data.date_birth, birthday)
check("register returns the gender", response.data.gender, models.Gender.FEMALE)
with urllib.request.urlopen(response.data.image, timeout=30) as picture:
    check("register stores the picture", picture.headers["content-type"], "image/png")
image = response.data.image
check("register with a taken email returns 409", refusal(accounts.register, registration=registration), 409)
check("login before activation returns 403", refusal(sessions.login, credentials=credentials), 403)

subprocess.run([*activate_command, registration.email], check=True, stdin=subprocess.DEVNULL)

check("login with a wrong password returns 401", refusal(sessions.login, credentials=wrong_credentials), 401)
login = sessions.login(credentials)
check("login returns the success message", login.detail, "Logged in Successfully")
check("login returns the account's email", login.data.email, registration.email)

logged_in = latchkey_client.AccountApi(client(login.token.access))
user = logged_in.get_user()
check("get_user returns the date of birth", user.date_birth, birthday)
check("get_user returns the activated account", user.is_activated, True)

response = logged_in.change_user_with_http_info(models.ProfileChange(date_birth=user.date_birth))
check("change_user keeps the date of birth", json.loads(response.raw_data)["dateBirth"], "1990-02-28")
check("change_user without a picture keeps it", response.data.image, image)
cleared = logged_in.change_user(models.ProfileChange(phone_number=None))
check("change_user with None clears the phone number", cleared.phone_number, None)

password_change = models.PasswordChange(password=password, new_password=f"Difference {uuid.uuid4().hex}")
tokens = logged_in.change_password(password_change)
check("get_user with the old access token returns 401", refusal(logged_in.get_user), 401)
logged_in = latchkey_client.AccountApi(client(tokens.access))
check("get_user with the new access token returns the email", logged_in.get_user().email, registration.email)

administration = latchkey_client.AdministrationApi(client(tokens.access))
check("list_accounts without staff permissions returns 403", refusal(administration.list_accounts), 403)
stranger = latchkey_client.AccountApi(client("not.a.token"))
check("get_user with an invalid token returns 401", refusal(stranger.get_user), 401)

print(f"test result: ok. {passed} passed; 0 failed (generated Python client)")
