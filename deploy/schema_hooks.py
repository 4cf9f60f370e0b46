"""What Schemathesis has to know to log in, and what it can't know of this API. Used by deploy/test-schema."""

import itertools
import json
import os
import urllib.request

import schemathesis

URL = os.environ["LATCHKEY_URL"]
PASSWORD = "velvet harbour lantern"
numbers = itertools.count(1)


def post(path, body):
    request = urllib.request.Request(
        URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


# A new account and a new session for each case, as cases change addresses and passwords and end sessions.
@schemathesis.auth(refresh_interval=None)
class Account:
    def get(self, case, context):
        email = f"somebody{next(numbers)}@example.com"
        post("/api/register/", {"email": email, "username": "Ada", "password": PASSWORD})
        return post("/api/login/", {"email": email, "password": PASSWORD})["token"]["access"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
