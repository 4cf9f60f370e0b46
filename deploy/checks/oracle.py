"""Measures whether response times reveal the kind of an email address. deploy/oracle starts the API and runs this.

Usage: oracle.py <run> <operation> <samples per kind> <table|json> <API URL> <command latchkey-api users …>

The operations are those of OPERATIONS.

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
# In this number of rounds, each request for a code gets four of the five attempts that it accepts.
ROUNDS_PER_RESTORE = 4 * EMAILS_PER_KIND
# Method, path and status of the measured requests.
OPERATIONS = {
    "login": ("POST", "/api/login/", 401),
    "email_request": ("POST", "/auth/email_request/", 201),
    "activation_resend": ("POST", "/auth/activate/resend/", 201),
    "email_change": ("PATCH", "/api/user/", 200),
    "email_confirmation": ("POST", "/auth/confirm_email/", 400),
    "code_check": ("POST", "/auth/check_otp/", 400),
}
PASSWORD = "velvet harbour lantern"
# A hash by Django of an unknown password. Its rounds cost as much as some hashes of this service.
OLD_HASH = "pbkdf2_sha256$100000$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


class Connection:
    """A persistent HTTP connection that adds little noise: one write per request, and no Nagle delay."""

    def __init__(self):
        target = urllib.parse.urlsplit(api_url)
        self.host = target.netloc
        self.socket = socket.create_connection((target.hostname, target.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def encode(self, method, path, access=None, **fields):
        """Returns the bytes of a request with a JSON body."""
        body = json.dumps(fields).encode()
        authorization = f"Authorization: Bearer {access}\r\n" if access else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n{authorization}"
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


def call(connection, expected_status, method, path, access=None, **fields):
    """Sends a request, and returns the head and the JSON body of the response."""
    request = connection.encode(method, path, access, **fields)
    head, _, body = connection.receive(request, expected_status)[1].partition(b"\r\n\r\n")
    return head.decode(), json.loads(body)


def register(connection, email):
    """Registers an email, and returns the response."""
    return call(connection, 201, "POST", "/api/register/", email=email, username="Ada", password=PASSWORD)[1]


def execute(statement, rows=((),)):
    """Changes the database."""
    with sqlite3.connect("latchkey.db", timeout=60) as database:
        database.executemany(statement, rows)
    database.close()


def random_emails():
    """Returns emails of the same length."""
    return [f"{secrets.token_hex(8)}@example.com" for _ in range(EMAILS_PER_KIND)]


def create_accounts(connection):
    """Creates the accounts in random order. Returns the emails of each kind."""
    emails = {kind: random_emails() for kind in [*KINDS, CONTROL]}
    accounts = [(kind, email) for kind in KINDS if kind != "unknown" for email in emails[kind]]
    random.shuffle(accounts)
    for kind, email in accounts:
        register(connection, email)
        if kind != "not activated":
            subprocess.run([*users_command, "activate", email], check=True, stdout=subprocess.DEVNULL)
        if kind == "deactivated":
            subprocess.run([*users_command, "deactivate", email], check=True, stdout=subprocess.DEVNULL)
    execute("UPDATE users SET password_hash = ? WHERE email = ?", [(OLD_HASH, email) for email in emails["imported"]])
    return emails


def log_in_owners(connection):
    """Creates accounts that request other emails, and returns their access tokens."""
    owners = random_emails()
    for email in owners:
        register(connection, email)
    execute("UPDATE users SET is_activated = 1 WHERE email = ?", [(email,) for email in owners])
    login = lambda email: call(connection, 200, "POST", "/api/login/", email=email, password=PASSWORD)[1]
    return [login(email)["token"]["access"] for email in owners]


def request_change(connection, access, email):
    """Requests a change to an email, and returns the token that confirms it."""
    head = call(connection, 200, "PATCH", "/api/user/", access, email=email, password=PASSWORD)[0]
    name, token = "email-confirmation-token: ", None
    for line in head.split("\r\n"):
        if line.lower().startswith(name):
            token = line[len(name) :]
    return token


def request_reset(connection, email):
    """Requests a password reset, and returns its token."""
    return call(connection, 201, "POST", "/auth/email_request/", email=email)[1]["token"]


def deliver_mails():
    """Runs a worker until all mails are sent or refused. Only some kinds of emails get a code."""
    command = [*users_command[:-2], users_command[-2].replace("latchkey-api", "latchkey-worker")]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    database = sqlite3.connect("latchkey.db", timeout=60)
    while database.execute("SELECT 1 FROM mails WHERE state = 'queued' LIMIT 1").fetchone():
        if worker.poll() is not None:
            sys.exit("the worker exited")
        time.sleep(0.1)
    database.close()
    worker.terminate()
    worker.wait()


def create_requests(connection, emails):
    """Returns the requests to measure, by kind of email: one for each email."""

    def requests(encode):
        return {kind: [encode(*args) for args in enumerate(emails[kind])] for kind in emails}

    def encode(**fields):
        return connection.encode(*OPERATIONS[operation][:2], **fields)

    if operation == "email_request":
        return requests(lambda _, email: encode(email=email))
    if operation == "login":
        return requests(lambda _, email: encode(email=email, password="another quiet morning"))
    if operation == "activation_resend":
        # With REGISTRATION_PRIVACY=on, the registration of a taken email returns a token, too. That of an unknown one creates the account.
        return requests(lambda _, email: encode(token=register(connection, email)["activation_token"]))
    if operation == "email_change":
        owners = log_in_owners(connection)
        return requests(lambda number, email: encode(access=owners[number], email=email, password=PASSWORD))
    if operation == "code_check":
        tokens = {kind: [request_reset(connection, email) for email in emails[kind]] for kind in emails}
        deliver_mails()
        return {kind: [encode(token=token, otp="000000") for token in tokens[kind]] for kind in emails}
    # Each account has one open change.
    owners = {kind: log_in_owners(connection) for kind in emails}
    tokens = {
        kind: [request_change(connection, *pair) for pair in zip(owners[kind], emails[kind])] for kind in emails
    }
    deliver_mails()
    return {kind: [encode(token=token, otp="000000") for token in tokens[kind]] for kind in emails}


def restore():
    """Undoes what the measured requests have changed, so that later ones have the same work."""
    if operation == "email_change":
        execute("DELETE FROM password_resets WHERE ended_at IS NOT NULL")
    if operation in ("email_confirmation", "code_check"):
        execute("UPDATE password_resets SET tries = 0")


def measure(connection, requests):
    """Returns the response times of each kind, in nanoseconds.

    Each round sends one request per kind, in random order.
    """
    times = {kind: [] for kind in requests}
    order = list(requests)
    status = OPERATIONS[operation][2]
    gc.collect()
    gc.disable()
    for number in range(WARM_UP_ROUNDS + samples):
        if number % ROUNDS_PER_RESTORE == 0:
            restore()
        random.shuffle(order)
        for kind in order:
            elapsed = connection.send(requests[kind][number % EMAILS_PER_KIND], status)
            if number >= WARM_UP_ROUNDS:
                times[kind].append(elapsed)
    gc.enable()
    return times


connection = Connection()
times = measure(connection, create_requests(connection, create_accounts(connection)))
for a, b in PAIRS:
    medians = [statistics.median(times[kind]) / 1000 for kind in (a, b)]
    difference, p = medians[0] - medians[1], mann_whitney(times[a], times[b])
    if output_format == "json":
        names = ["call", "a", "b", "samples", "median_a_us", "median_b_us", "difference_us", "p"]
        values = [run, a, b, samples, *medians, difference, p]
        print(json.dumps(dict(zip(names, values))), flush=True)
    else:
        print(f"| {run} | {a} / {b} | {medians[0]:.1f} | {medians[1]:.1f} | {difference:+.1f} | {p:.2g} |", flush=True)
