"""The name of a Bento: the digest of its content.

The digest is the SHA-256 of the sorted list of the Bento's files, where the `version` and the `creation_time` of
`bento.yaml` count as blank: the version is taken from the digest, and the time is when, not what. The service
computes it again from the files it runs from, so what it says of itself is what it is.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from bitbloom.core.digests import file_digest, folder_files, listing_digest

MANIFEST = "bento.yaml"
COMMIT = "commit"
"""A file of an installed Bento: the commit that it was built from."""
DERIVED = re.compile(rf"(^|/)__pycache__/|\.pyc$|^env/docker/Dockerfile$|^{COMMIT}$")
"""Written later: bytecode when the service starts, the Dockerfile when an image is built, the commit at the installation."""
NAMING = re.compile(rb"^(version|creation_time):.*$", re.MULTILINE)
VERSION_DIGITS = 16
"""Digits of the digest in the version: BentoML allows 63 characters, and people read them."""
TIMELESS = "1980-01-01 00:00:00+00:00"


def files(folder: Path) -> dict[str, str]:
    """The files of an unpacked Bento that have a part in its digest: POSIX path → SHA-256."""
    kept = {name: file for name, file in folder_files(folder).items() if not DERIVED.search(name)}
    return {name: _manifest_digest(file) if name == MANIFEST else file_digest(file) for name, file in kept.items()}


def digest(folder: Path) -> str:
    """The digest of an unpacked Bento, 64 hexadecimal digits."""
    return listing_digest(files(folder))


def version(bento_digest: str) -> str:
    """The version that BentoML knows a Bento of this digest by."""
    return bento_digest[:VERSION_DIGITS]


def name_after_content(folder: Path) -> str:
    """Write the version that the digest gives, and a fixed time, to the Bento's manifest. Returns the digest."""
    whole = digest(folder)
    # Quoted, for a version of digits alone would be read as a number.
    values = {b"version": f"'{version(whole)}'".encode(), b"creation_time": TIMELESS.encode()}
    manifest = folder / MANIFEST
    manifest.write_bytes(NAMING.sub(lambda found: found[1] + b": " + values[found[1]], manifest.read_bytes()))
    return whole


def _manifest_digest(file: Path) -> str:
    return hashlib.sha256(NAMING.sub(rb"\1:", file.read_bytes())).hexdigest()
