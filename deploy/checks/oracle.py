"""Measures whether the time of an answer tells what kind of address it was given. deploy/oracle starts what it needs.

Usage: oracle.py <name of the run> <login|email_request> <samples> <table|json> <URL of the API> <command before "activate" …>
"""

import gc
import json
import random
import secrets
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

from ranks import mann_whitney

run, call, samples, form, url, *users = sys.argv[1:]
samples = int(samples)

KINDS = ["known", "unknown", "not activated", "deactivated"]
# A second set of addresses that nobody has: what differs between it and the first is noise.
CONTROL = "unknown again"
PAIRS = [(a, b) for i, a in enumerate(KINDS) for b in KINDS[i + 1 :]] + [("unknown", CONTROL)]
ADDRESSES = min(16, samples)
WARM_UP = max(20, samples // 20)
PATHS = {"login": "/api/login/", "email_request": "/auth/email_request/", "register": "/api/register/"}
STATUS = {"login": 401, "email_request": 201, "register": 201}


class Connection:
    """One connection that is kept alive. A request is one write, and nothing waits for more to send."""

    def __init__(self):
        target = urllib.parse.urlsplit(url)
        self.host = target.netloc
        self.socket = socket.create_connection((target.hostname, target.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, what, **fields):
        body = json.dumps(fields).encode()
        head = (
            f"POST {PATHS[what]} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def send(self, request, status):
        """Sends a request and reads its whole answer; how long both took together, in nanoseconds."""
        begin = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        end = time.perf_counter_ns()
        while not self.is_whole(answer):
            more = self.socket.recv(65536)
            end = time.perf_counter_ns()
            if not more:
                sys.exit("the API closed the connection")
            answer += more
        if not answer.startswith(b"HTTP/1.1 %d " % status):
            sys.exit(f"expected {status}, got {answer.decode(errors='replace')}")
        return end - begin

    @staticmethod
    def is_whole(answer):
        head, found, body = answer.partition(b"\r\n\r\n")
        if not found:
            return False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(body) >= int(line.partition(b":")[2])
        sys.exit("an answer without Content-Length")


def make_addresses(connection):
    """For each kind some addresses, all of one length, their accounts made in random order."""
    addresses = {kind: [f"{secrets.token_hex(8)}@example.com" for _ in range(ADDRESSES)] for kind in [*KINDS, CONTROL]}
    accounts = [(kind, email) for kind in KINDS if kind != "unknown" for email in addresses[kind]]
    random.shuffle(accounts)
    for kind, email in accounts:
        register = connection.request("register", email=email, username="Ada", password="velvet harbour lantern")
        connection.send(register, STATUS["register"])
        if kind != "not activated":
            subprocess.run([*users, "activate", email], check=True, stdout=subprocess.DEVNULL)
        if kind == "deactivated":
            subprocess.run([*users, "deactivate", email], check=True, stdout=subprocess.DEVNULL)
    return addresses


def measure(connection, addresses):
    """The nanoseconds of each kind: in each round one request of each, in random order."""
    wrong = {"password": "another quiet morning"} if call == "login" else {}
    requests = {
        kind: [connection.request(call, email=email, **wrong) for email in emails] for kind, emails in addresses.items()
    }
    times = {kind: [] for kind in addresses}
    order = list(addresses)
    gc.collect()
    gc.disable()
    for number in range(WARM_UP + samples):
        random.shuffle(order)
        for kind in order:
            elapsed = connection.send(requests[kind][number % ADDRESSES], STATUS[call])
            if number >= WARM_UP:
                times[kind].append(elapsed)
    gc.enable()
    return times


connection = Connection()
times = measure(connection, make_addresses(connection))
for a, b in PAIRS:
    medians = [statistics.median(times[kind]) / 1000 for kind in (a, b)]
    difference, p = medians[0] - medians[1], mann_whitney(times[a], times[b])
    if form == "json":
        names = ["call", "a", "b", "samples", "median_a_us", "median_b_us", "difference_us", "p"]
        values = [run, a, b, samples, *medians, difference, p]
        print(json.dumps(dict(zip(names, values))), flush=True)
    else:
        print(f"| {run} | {a} / {b} | {medians[0]:.1f} | {medians[1]:.1f} | {difference:+.1f} | {p:.2g} |", flush=True)
