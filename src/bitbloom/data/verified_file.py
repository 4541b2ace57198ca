"""A published file with a known URL, size and SHA-256, downloaded once.

The search order is the folder in `BITBLOOM_MIRROR`, earlier downloads, the network. An interrupted download resumes, in
this run or the next. A file is used only if its digest is correct.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import advancing

if TYPE_CHECKING:
    from requests import Response

DOWNLOADS = Path(".bitbloom/downloads")
MIRROR = "BITBLOOM_MIRROR"
ATTEMPTS = 5
"""Largest number of consecutive failures without progress."""
PAUSE = 1.0
"""Seconds before the second attempt, doubled for each further one."""
TIMEOUT = (15.0, 60.0)
"""Timeouts to connect, and between two chunks of data, seconds."""
CHUNK = 1 << 18
RETRIED = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class PublishedFile:
    """A published file: its address, its size in bytes, and its SHA-256 in hexadecimal."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The base name of the URL."""
        name = PurePosixPath(unquote(urlsplit(self.url).path)).name
        if not name:
            raise BitBloomError(f"{self.url}: the address does not end in a file's name")
        return name


class _CutError(Exception):
    """An interrupted transfer that can be retried."""


def obtain(file: PublishedFile) -> Path:
    """Return a verified local path of the file.

    Raises:
        BitBloomError: the file is not available, or it has another size or digest.
    """
    mirrored = _mirrored(file)
    if mirrored:
        wrong = _wrong(mirrored, file)
        if wrong:
            raise BitBloomError(f"{mirrored}: {wrong}. Put the right file into the mirror, or unset {MIRROR}")
        return mirrored
    path = DOWNLOADS / f"{file.sha256[:12]}-{file.name}"
    if path.is_file():
        wrong = _wrong(path, file)
        if not wrong:
            return path
        print(f"{path}: {wrong}. It is downloaded again", file=sys.stderr)
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    _download(file, path)
    return path


def _mirrored(file: PublishedFile) -> Path | None:
    folder = os.environ.get(MIRROR, "")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise BitBloomError(f"{MIRROR}={folder}: there is no such folder")
    path = Path(folder) / file.name
    return path if path.is_file() else None


def _wrong(path: Path, file: PublishedFile) -> str:
    """Return how a local file differs from the expected one, or an empty text."""
    size = path.stat().st_size
    if size != file.size:
        return f"it has {size:,} bytes where {file.size:,} are expected"
    digest = file_digest(path)
    return "" if digest == file.sha256 else f"its SHA-256 is {digest} where {file.sha256} is expected"


def _download(file: PublishedFile, path: Path) -> None:
    """Download the file to `path`, resuming `<path>.part`; if a resumed file is wrong, start over once."""
    part = path.with_name(f"{path.name}.part")
    resumed = part.is_file()
    while True:
        _transfer(file, part)
        wrong = _wrong(part, file)
        if not wrong:
            break
        bad = path.with_name(f"{path.name}.bad")
        part.replace(bad)
        if not resumed:
            raise BitBloomError(
                f"{file.url}: {wrong}. The received file is kept as {bad}. Has the file changed at its publisher? "
                f"If you have the right one, put it into a folder and name that folder with {MIRROR}"
            )
        resumed = False
    part.replace(path)
    _validator_path(part).unlink(missing_ok=True)


def _transfer(file: PublishedFile, part: Path) -> None:
    """Download to `part` up to the expected size, with retries."""
    failures, furthest = 0, _size(part)
    with advancing(f"download {file.name}", file.size, furthest, in_bytes=True) as advance:
        while _size(part) < file.size:
            try:
                for count in _pieces(file, part):
                    advance(count)
            except _CutError as cut:
                failures = failures + 1 if _size(part) <= furthest else 1
                furthest = max(furthest, _size(part))
                if failures >= ATTEMPTS:
                    raise BitBloomError(
                        f"{file.url}: download failed {failures} times ({cut}). Try again later: the download "
                        f"resumes. Or put {file.name} into a folder and name that folder with {MIRROR}"
                    ) from cut
                time.sleep(PAUSE * 2 ** (failures - 1))


def _pieces(file: PublishedFile, part: Path) -> Iterator[int]:
    """Send one request, append the response to `part`, and yield numbers of bytes (negative if the server starts over)."""
    import requests
    import urllib3

    have = _size(part)
    try:
        with requests.get(file.url, headers=_headers(part, have), stream=True, timeout=TIMEOUT) as response:
            start = _accept(file, response, have)
            if response.status_code == requests.codes.ok:
                _validator_path(part).write_text(_validator(response))
            if start != have:
                yield start - have
            with part.open("r+b" if part.exists() else "wb") as target:
                target.truncate(start)
                target.seek(start)
                # The bytes as published: a server may wrongly declare a .tgz to be compressed in transit.
                for piece in response.raw.stream(CHUNK, decode_content=False):
                    target.write(piece)
                    yield len(piece)
                    if target.tell() > file.size:
                        return
    except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError, ConnectionError) as error:
        raise _CutError(_reason(error)) from error
    if _size(part) < file.size:
        raise _CutError(f"the connection ended at {_size(part):,} of {file.size:,} bytes")


def _headers(part: Path, have: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        validator = _validator_path(part)
        if validator.is_file() and validator.read_text():
            headers["If-Range"] = validator.read_text()
    return headers


def _accept(file: PublishedFile, response: Response, have: int) -> int:
    """Return the offset of the response's body in the file."""
    if response.status_code == 206:
        received = response.headers.get("Content-Range", "").removeprefix("bytes ")
        span, _, total = received.partition("/")
        start = span.split("-")[0]
        if not start.isdigit() or int(start) > have:
            raise BitBloomError(f"{file.url}: the server responded with 'Content-Range: {received}': remove the .part file")
        _check_size(file, total)
        return int(start)
    if response.status_code == 200:
        _check_size(file, response.headers.get("Content-Length", ""))
        return 0
    if response.status_code == 416:  # the file is smaller than the downloaded part
        _check_size(file, response.headers.get("Content-Range", "").rpartition("/")[2])
    if response.status_code in RETRIED:
        raise _CutError(f"the server responded with {response.status_code} {response.reason}")
    raise BitBloomError(
        f"{file.url}: the server responded with {response.status_code} {response.reason}. "
        f"If you have {file.name}, put it into a folder and name that folder with {MIRROR}"
    )


def _check_size(file: PublishedFile, announced: str) -> None:
    """Detect a changed file before the download."""
    if announced.isdigit() and int(announced) != file.size:
        raise BitBloomError(
            f"{file.url}: the server offers {int(announced):,} bytes where {file.size:,} are expected: "
            "the file has changed at its publisher, or the address is wrong"
        )


def _validator_path(part: Path) -> Path:
    """Return the file with the server's identifier of this version, next to the partial download."""
    return part.with_name(f"{part.name}.version")


def _validator(response: Response) -> str:
    """Return a strong ETag or the time of the last change, as a value for `If-Range`."""
    tag: str = response.headers.get("ETag", "")
    changed: str = response.headers.get("Last-Modified", "")
    return changed if not tag or tag.startswith("W/") else tag


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    """Return the innermost cause: the outer errors repeat the address."""
    reason: BaseException = error
    while reason.__cause__ or reason.__context__:
        reason = reason.__cause__ or reason.__context__ or reason
    return str(reason) or type(reason).__name__
