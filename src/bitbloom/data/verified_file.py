"""One published file, known by its URL, size and SHA-256, brought to this disk once.

It is looked for in the folder `BITBLOOM_MIRROR` names, then among earlier downloads, and only then on the network.
A cut download goes on where it stopped, in this run or the next; a file is used only when its digest is right.
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
"""Failures after which a download gives up; one that got further than all before it counts as the first."""
PAUSE = 1.0
"""Seconds before the second attempt, doubled before each further one."""
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two pieces of data."""
CHUNK = 1 << 18
WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class PublishedFile:
    """What a publisher offers: the address, the size in bytes, and the SHA-256 in hexadecimal."""

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
    """A transfer that broke off, and may go better the next time."""


def obtain(file: PublishedFile) -> Path:
    """A local path to the file, verified.

    Raises:
        BitBloomError: it cannot be had, or what is there or came is not the file that is meant.
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
    """Why a local file is not the one that is meant, or an empty text."""
    size = path.stat().st_size
    if size != file.size:
        return f"it has {size:,} bytes where {file.size:,} are expected"
    digest = file_digest(path)
    return "" if digest == file.sha256 else f"its SHA-256 is {digest} where {file.sha256} is expected"


def _download(file: PublishedFile, path: Path) -> None:
    """Bring the file to `path`, resuming `<path>.part`; a resumed file that turns out wrong gets one fresh start."""
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
                f"{file.url}: {wrong}. What came is kept as {bad}. Has the file changed at its publisher? "
                f"If you have the right one, put it into a folder and name that folder with {MIRROR}"
            )
        resumed = False
    part.replace(path)
    _validator_path(part).unlink(missing_ok=True)


def _transfer(file: PublishedFile, part: Path) -> None:
    """Fill `part` up to the expected size, in as many requests as it takes."""
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
                        f"{file.url}: download failed {failures} times ({cut}). Try again later: it goes on where it "
                        f"stopped. Or put {file.name} into a folder and name that folder with {MIRROR}"
                    ) from cut
                time.sleep(PAUSE * 2 ** (failures - 1))


def _pieces(file: PublishedFile, part: Path) -> Iterator[int]:
    """One request: append what it brings to `part`, yielding the number of bytes (negative: a server starts over)."""
    import requests
    import urllib3

    have = _size(part)
    try:
        with requests.get(file.url, headers=_headers(part, have), stream=True, timeout=TIMEOUT) as answer:
            start = _accept(file, answer, have)
            if answer.status_code == requests.codes.ok:
                _validator_path(part).write_text(_validator(answer))
            if start != have:
                yield start - have
            with part.open("r+b" if part.exists() else "wb") as target:
                target.truncate(start)
                target.seek(start)
                # The bytes as published: a server may wrongly declare a .tgz to be compressed in transit.
                for piece in answer.raw.stream(CHUNK, decode_content=False):
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


def _accept(file: PublishedFile, answer: Response, have: int) -> int:
    """Where in the file the answer's body starts."""
    if answer.status_code == 206:
        place = answer.headers.get("Content-Range", "").removeprefix("bytes ")
        span, _, total = place.partition("/")
        start = span.split("-")[0]
        if not start.isdigit() or int(start) > have:
            raise BitBloomError(f"{file.url}: the server answers a range with 'Content-Range: {place}': remove the .part file")
        _check_size(file, total)
        return int(start)
    if answer.status_code == 200:
        _check_size(file, answer.headers.get("Content-Length", ""))
        return 0
    if answer.status_code == 416:  # less is there than is here already
        _check_size(file, answer.headers.get("Content-Range", "").rpartition("/")[2])
    if answer.status_code in WORTH_ANOTHER_TRY:
        raise _CutError(f"the server answers {answer.status_code} {answer.reason}")
    raise BitBloomError(
        f"{file.url}: the server answers {answer.status_code} {answer.reason}. "
        f"If you have {file.name}, put it into a folder and name that folder with {MIRROR}"
    )


def _check_size(file: PublishedFile, announced: str) -> None:
    """Notice a changed file before it is downloaded."""
    if announced.isdigit() and int(announced) != file.size:
        raise BitBloomError(
            f"{file.url}: the server offers {int(announced):,} bytes where {file.size:,} are expected: "
            "the file has changed at its publisher, or the address is wrong"
        )


def _validator_path(part: Path) -> Path:
    """Where the server's name for this version of the file is kept, beside the part of it that is here."""
    return part.with_name(f"{part.name}.version")


def _validator(answer: Response) -> str:
    """A strong ETag, else the time of the last change: what `If-Range` may hold."""
    tag: str = answer.headers.get("ETag", "")
    changed: str = answer.headers.get("Last-Modified", "")
    return changed if not tag or tag.startswith("W/") else tag


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    """The innermost cause: the outer layers repeat the address."""
    reason: BaseException = error
    while reason.__cause__ or reason.__context__:
        reason = reason.__cause__ or reason.__context__ or reason
    return str(reason) or type(reason).__name__
