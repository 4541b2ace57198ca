"""The name of a Bento: the digest of its content.

The digest is the SHA-256 of the sorted list of the Bento's files, where the `version` and the `creation_time` of
`bento.yaml` count as blank: the version is derived from the digest, and the time is not part of the content. The
service computes the digest again from the files it runs from, so its provenance describes these files.
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
"""Files written later: bytecode by the service, the Dockerfile by the build of an image, the commit by the installation."""
NAMING = re.compile(rb"^(version|creation_time):.*$", re.MULTILINE)
VERSION_DIGITS = 16
"""Digits of the digest in the version. BentoML allows 63 characters; people read shorter versions."""
TIMELESS = "1980-01-01 00:00:00+00:00"


def files(folder: Path) -> dict[str, str]:
    """Return the files of an unpacked Bento that its digest covers: POSIX path → SHA-256."""
    kept = {name: file for name, file in folder_files(folder).items() if not DERIVED.search(name)}
    return {name: _manifest_digest(file) if name == MANIFEST else file_digest(file) for name, file in kept.items()}


def digest(folder: Path) -> str:
    """Return the digest of an unpacked Bento, 64 hexadecimal digits."""
    return listing_digest(files(folder))


def version(bento_digest: str) -> str:
    """Return the version of a Bento with this digest, as BentoML names it."""
    return bento_digest[:VERSION_DIGITS]


def name_after_content(folder: Path) -> str:
    """Write the version of the digest and a fixed time into the Bento's manifest. Returns the digest."""
    whole = digest(folder)
    # Quoted, because YAML reads a version of digits alone as a number.
    values = {b"version": f"'{version(whole)}'".encode(), b"creation_time": TIMELESS.encode()}
    manifest = folder / MANIFEST
    manifest.write_bytes(NAMING.sub(lambda found: found[1] + b": " + values[found[1]], manifest.read_bytes()))
    return whole


def _manifest_digest(file: Path) -> str:
    return hashlib.sha256(NAMING.sub(rb"\1:", file.read_bytes())).hexdigest()
