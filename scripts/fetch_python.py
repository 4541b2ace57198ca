"""Download the CPython build of python.lock, compare it with its SHA-256, unpack it: python3 scripts/fetch_python.py FOLDER

Needs Python 3.8 or later and its standard library only. python.lock has the format of uv's `--python-downloads-json-url`; its
hashes are those that the locked uv contains. UV_PYTHON_INSTALL_MIRROR replaces the start of the addresses, as for uv.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "python.lock"
RELEASES = "https://github.com/astral-sh/python-build-standalone/releases/download"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
ATTEMPTS = 3
TIMEOUT = 60
"""Seconds without a byte until a connection is given up."""
ADVICE = "install Python 3.11, set PYTHON=path, or name a mirror with UV_PYTHON_INSTALL_MIRROR"


class Failure(Exception):
    """A message for the user."""


def entry(lock: Path) -> dict:
    """The build for this platform: its `url` and `sha256`."""
    system = platform.system().lower()
    machine = platform.machine().lower()
    libc = {"linux": "gnu" if platform.libc_ver()[0] == "glibc" else "musl"}.get(system, "none")
    here = (system, ARCHITECTURES.get(machine, machine), libc)
    for build in json.loads(lock.read_text(encoding="utf-8")).values():
        if (build["os"], build["arch"]["family"], build["libc"]) == here:
            return build
    raise Failure(f"python.lock has no build for {' '.join(here)}: install Python 3.11, or set PYTHON=path")


def address(build: dict) -> str:
    """The address of a build, on the mirror if there is one."""
    mirror = os.environ.get("UV_PYTHON_INSTALL_MIRROR", "").rstrip("/")
    url = build["url"]
    return mirror + url[len(RELEASES) :] if mirror and url.startswith(RELEASES) else url


def download(url: str, file: Path) -> str:
    """Write the content of an address to a file. Returns its SHA-256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=TIMEOUT) as source, file.open("wb") as target:  # noqa: S310 - any scheme of a mirror
        for block in iter(lambda: source.read(1 << 20), b""):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def fetch(url: str, file: Path) -> str:
    """Download, again after an interruption. Returns the SHA-256."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return download(url, file)
        except (OSError, ValueError) as error:  # URLError is an OSError; ValueError: not an address
            reason = error
        if attempt < ATTEMPTS and url.startswith("http"):
            time.sleep(attempt)
    raise Failure(f"{url} cannot be downloaded ({reason}): {ADVICE}")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive whose SHA-256 was compared."""
    with tarfile.open(str(archive)) as tar:
        if hasattr(tarfile, "tar_filter"):
            tar.extraction_filter = tarfile.tar_filter
        tar.extractall(str(folder))  # noqa: S202 - its content is known


def install(lock: Path, folder: Path) -> None:
    """Download, verify and unpack the build for this platform. The folder is complete or absent."""
    build = entry(lock)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(folder.parent)) as temporary:
        archive, unpacked = Path(temporary, "archive"), Path(temporary, "unpacked")
        found = fetch(address(build), archive)
        if found != build["sha256"]:
            raise Failure(f"{address(build)} has the SHA-256 {found}, but python.lock has {build['sha256']}: {ADVICE}")
        unpack(archive, unpacked)
        shutil.rmtree(str(folder), ignore_errors=True)
        unpacked.rename(folder)


if __name__ == "__main__":
    try:
        install(LOCK, Path(sys.argv[1]))
    except (Failure, OSError, tarfile.TarError) as failure:
        sys.exit(f"error: {failure}")
