"""Schemathesis hooks for deploy/checks/test-schema: log in for each test case, and use ids of accounts that exist."""

import contextlib
import itertools
import json
import os
import sqlite3
import urllib.request

import schemathesis

API_URL = os.environ["LATCHKEY_URL"]
DATABASE_FILE = os.environ["DATABASE_URL"].removeprefix("sqlite://")
PASSWORD = "velvet harbour lantern"
# Generated ids are reduced to this range. The run creates more accounts than that, with ids from 1.
ID_RANGE = 20
email_numbers = itertools.count(1)


def post(path, body):
    request = urllib.request.Request(API_URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def make_superuser(email):
    with contextlib.closing(sqlite3.connect(DATABASE_FILE, timeout=30)) as database, database:
        database.execute("UPDATE users SET is_staff = TRUE, is_superuser = TRUE WHERE email = ?", [email])


# Each test case gets a new account and session, because test cases change emails and passwords and end sessions.
@schemathesis.auth(refresh_interval=None)
class NewAccount:
    def get(self, case, context):
        email = f"user{next(email_numbers)}@example.com"
        post("/api/register/", {"email": email, "username": "Ada", "password": PASSWORD})
        if case.path.startswith("/api/admin/"):
            make_superuser(email)
        return post("/api/login/", {"email": email, "password": PASSWORD})["token"]["access"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


# Without this hook, almost no generated user id would belong to an account.
@schemathesis.hook
def map_path_parameters(context, path_parameters):
    user_id = (path_parameters or {}).get("id")
    if isinstance(user_id, int) and "/users/" in context.operation.path:
        path_parameters["id"] = user_id % ID_RANGE
    return path_parameters


# Like the original, the API accepts a number as a string, and an empty string as null. The schemas describe only the usual form,
# so Schemathesis would report these cases as accepted invalid input.
@schemathesis.hook
def filter_case(context, case):
    if not isinstance(case.body, dict):
        return True
    members = ["username", "phoneNumber", "dateBirth", "gender"]
    if case.method.upper() == "PATCH":
        # Other calls compare the password, so they reject these cases.
        members.append("password")
    texts = [case.body.get(member) for member in members]
    return not any(text == "" or (isinstance(text, (int, float)) and not isinstance(text, bool)) for text in texts)
