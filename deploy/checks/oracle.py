"""Measures whether response times reveal the kind of an email address. deploy/oracle starts the API and runs this.

Usage: oracle.py <run> <login|email_request|activation_resend> <samples per kind> <table|json> <API URL> <command latchkey-api users …>

Runs in the folder of the API's database. Prints one row for each pair of kinds: both medians, their difference, and the p-value of the Mann-Whitney U test.
"""

import gc
import json
import random
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.parse

from mann_whitney import mann_whitney

run, operation, samples, output_format, api_url, *users_command = sys.argv[1:]
samples = int(samples)

KINDS = ["known", "unknown", "not activated", "deactivated", "imported"]
# The control: a second set of unknown addresses. Its difference from the first set is noise.
CONTROL = "unknown again"
PAIRS = [(a, b) for i, a in enumerate(KINDS) for b in KINDS[i + 1 :]] + [("unknown", CONTROL)]
EMAILS_PER_KIND = min(16, samples)
WARM_UP_ROUNDS = max(20, samples // 20)
PATHS = {
    "login": "/api/login/",
    "email_request": "/auth/email_request/",
    "activation_resend": "/auth/activate/resend/",
    "register": "/api/register/",
}
# A hash by Django of an unknown password. Its rounds cost as much as some hashes of this service.
OLD_HASH = "pbkdf2_sha256$100000$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
EXPECTED_STATUS = {"login": 401, "email_request": 201, "activation_resend": 201, "register": 201}


class Connection:
    """A persistent HTTP connection that adds little noise: one write per request, and no Nagle delay."""

    def __init__(self):
        target = urllib.parse.urlsplit(api_url)
        self.host = target.netloc
        self.socket = socket.create_connection((target.hostname, target.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def encode(self, operation, **fields):
        """Returns the bytes of a request with a JSON body."""
        body = json.dumps(fields).encode()
        head = (
            f"POST {PATHS[operation]} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def send(self, request, expected_status):
        """Sends a request, reads the whole response, and returns the response time in nanoseconds."""
        return self.receive(request, expected_status)[0]

    def receive(self, request, expected_status):
        """Does the same, and returns the response, too."""
        begin = time.perf_counter_ns()
        self.socket.sendall(request)
        response = self.socket.recv(65536)
        end = time.perf_counter_ns()
        while not self.is_complete(response):
            more = self.socket.recv(65536)
            end = time.perf_counter_ns()
            if not more:
                sys.exit("the API closed the connection")
            response += more
        if not response.startswith(b"HTTP/1.1 %d " % expected_status):
            sys.exit(f"expected status {expected_status}, got {response.decode(errors='replace')}")
        return end - begin, response

    @staticmethod
    def is_complete(response):
        head, separator, body = response.partition(b"\r\n\r\n")
        if not separator:
            return False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(body) >= int(line.partition(b":")[2])
        sys.exit("the response has no Content-Length")


def register(connection, email):
    """Registers an email, and returns the response."""
    request = connection.encode("register", email=email, username="Ada", password="velvet harbour lantern")
    return connection.receive(request, EXPECTED_STATUS["register"])[1]


def create_accounts(connection):
    """Creates the accounts in random order. Returns the emails of each kind, all of the same length."""
    emails = {
        kind: [f"{secrets.token_hex(8)}@example.com" for _ in range(EMAILS_PER_KIND)] for kind in [*KINDS, CONTROL]
    }
    accounts = [(kind, email) for kind in KINDS if kind != "unknown" for email in emails[kind]]
    random.shuffle(accounts)
    for kind, email in accounts:
        register(connection, email)
        if kind != "not activated":
            subprocess.run([*users_command, "activate", email], check=True, stdout=subprocess.DEVNULL)
        if kind == "deactivated":
            subprocess.run([*users_command, "deactivate", email], check=True, stdout=subprocess.DEVNULL)
    with sqlite3.connect("latchkey.db", timeout=60) as database:
        for email in emails["imported"]:
            database.execute("UPDATE users SET password_hash = ? WHERE email = ?", (OLD_HASH, email))
    database.close()
    return emails


def fields(connection, email):
    """Returns the members of a request about an email."""
    if operation == "login":
        return {"email": email, "password": "another quiet morning"}
    if operation == "activation_resend":
        # With REGISTRATION_PRIVACY=on, the registration of a taken email returns a token, too. That of an unknown one creates the account.
        body = register(connection, email).partition(b"\r\n\r\n")[2]
        return {"token": json.loads(body)["activation_token"]}
    return {"email": email}


def measure(connection, emails):
    """Returns the response times of each kind, in nanoseconds.

    Each round sends one request per kind, in random order.
    """
    requests = {
        kind: [connection.encode(operation, **fields(connection, email)) for email in kind_emails]
        for kind, kind_emails in emails.items()
    }
    times = {kind: [] for kind in emails}
    order = list(emails)
    gc.collect()
    gc.disable()
    for number in range(WARM_UP_ROUNDS + samples):
        random.shuffle(order)
        for kind in order:
            elapsed = connection.send(requests[kind][number % EMAILS_PER_KIND], EXPECTED_STATUS[operation])
            if number >= WARM_UP_ROUNDS:
                times[kind].append(elapsed)
    gc.enable()
    return times


connection = Connection()
times = measure(connection, create_accounts(connection))
for a, b in PAIRS:
    medians = [statistics.median(times[kind]) / 1000 for kind in (a, b)]
    difference, p = medians[0] - medians[1], mann_whitney(times[a], times[b])
    if output_format == "json":
        names = ["call", "a", "b", "samples", "median_a_us", "median_b_us", "difference_us", "p"]
        values = [run, a, b, samples, *medians, difference, p]
        print(json.dumps(dict(zip(names, values))), flush=True)
    else:
        print(f"| {run} | {a} / {b} | {medians[0]:.1f} | {medians[1]:.1f} | {difference:+.1f} | {p:.2g} |", flush=True)
