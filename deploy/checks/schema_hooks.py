"""What Schemathesis has to know to log in, and what it can't know of this API. Used by deploy/test-schema."""

import contextlib
import itertools
import json
import os
import sqlite3
import urllib.request

import schemathesis

URL = os.environ["LATCHKEY_URL"]
DATABASE = os.environ["DATABASE_URL"].removeprefix("sqlite://")
PASSWORD = "velvet harbour lantern"
numbers = itertools.count(1)


def post(path, body):
    request = urllib.request.Request(
        URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def raise_to_superuser(email):
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        database.execute("UPDATE users SET is_staff = TRUE, is_superuser = TRUE WHERE email = ?", [email])


# A new account and a new session for each case, as cases change addresses and passwords and end sessions.
@schemathesis.auth(refresh_interval=None)
class Account:
    def get(self, case, context):
        email = f"somebody{next(numbers)}@example.com"
        post("/api/register/", {"email": email, "username": "Ada", "password": PASSWORD})
        if case.path.startswith("/api/admin/"):
            raise_to_superuser(email)
        return post("/api/login/", {"email": email, "password": PASSWORD})["token"]["access"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


# One of the first accounts: a number by chance is hardly ever that of any.
@schemathesis.hook
def map_path_parameters(context, path_parameters):
    number = (path_parameters or {}).get("id")
    if isinstance(number, int) and "/users/" in context.operation.path:
        path_parameters["id"] = number % 20
    return path_parameters
