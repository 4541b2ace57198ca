"""Addresses of shards: `train-{0000..0009}.tar` and `train-*.tar`, in a folder or below `gs://bucket/folder`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from bitbloom.core.errors import BitBloomError

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
NUMBER = re.compile(r"(\d+)(?=[^\d/]*$)")
"""The last number of a name."""
SHOWN = 3
"""Largest number of names in a message."""


def expand(folder: str, pattern: str) -> list[str]:
    """Return the addresses of a pattern below a folder, a path or an address such as `gs://bucket/folder`.

    A range in braces names every shard, so one that is missing is an error when it is opened. A `*` finds those that are there;
    their last numbers have to follow each other.

    Raises:
        BitBloomError: the range is empty, or nothing is found, or a number is missing.
    """
    whole = f"{folder.rstrip('/')}/{pattern}" if folder else pattern
    found = RANGE.search(whole)
    if found:
        first, last = int(found[1]), int(found[2])
        if last < first or RANGE.search(whole, found.end()):
            raise BitBloomError(f"{pattern}: it has to have one range, from a lower to a higher number")
        return [f"{whole[: found.start()]}{n:0{len(found[1])}d}{whole[found.end() :]}" for n in range(first, last + 1)]
    if "*" not in pattern:
        return [whole]
    names = _glob(whole)
    _check_numbers(whole, names)
    return names


def is_remote(address: str) -> bool:
    """Return whether an address has a scheme, such as `gs://`."""
    return "://" in address


@contextmanager
def opened(address: str) -> Iterator[BinaryIO]:
    """Open a shard for reading from front to back. Raises BitBloomError if there is none, or it cannot be read."""
    if not is_remote(address):
        if not Path(address).is_file():
            raise BitBloomError(f"{address}: there is no such shard: is the download complete, and the range right?")
        with Path(address).open("rb") as stream:
            yield stream
        return
    system, path = _system(address)
    with _reading(address), system.open(path, "rb", cache_type="readahead") as stream:
        yield cast("BinaryIO", stream)


def text(address: str) -> str | None:
    """Return the content of a small file, or None if it does not exist."""
    if not is_remote(address):
        return Path(address).read_text(encoding="utf-8") if Path(address).is_file() else None
    system, path = _system(address)
    with _reading(address):
        return cast("bytes", system.cat_file(path)).decode() if system.exists(path) else None


def _glob(whole: str) -> list[str]:
    if not is_remote(whole):
        pattern = PurePosixPath(whole)
        return sorted(str(found) for found in Path(pattern.parent).glob(pattern.name))
    system, path = _system(whole)
    with _reading(whole):
        return sorted(system.unstrip_protocol(found) for found in system.glob(path))


def _check_numbers(whole: str, names: list[str]) -> None:
    """Check that there are shards, and that their last numbers follow each other."""
    if not names:
        raise BitBloomError(f"{whole}: there are no such shards")
    numbers = sorted(int(found[1]) for name in names if (found := NUMBER.search(PurePosixPath(name).name)))
    if len(numbers) < len(names):
        return  # names without numbers
    missing = sorted(set(range(min(0, numbers[0]), numbers[-1] + 1)) - set(numbers))
    if missing or len(set(numbers)) < len(numbers):
        which = f"number {', '.join(map(str, missing[:SHOWN]))} is missing" if missing else "a number is there twice"
        raise BitBloomError(f"{whole}: {len(names)} shards were found, and {which}: is the download complete?")


def _system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    import fsspec  # type: ignore[import-untyped]

    with _reading(address):
        system, path = fsspec.core.url_to_fs(address)
    return system, path


@contextmanager
def _reading(address: str) -> Iterator[None]:
    """Convert the errors of a store: gcsfs, aiohttp and google-auth share no public base class."""
    try:
        yield
    except BitBloomError:
        raise
    except FileNotFoundError as error:
        raise BitBloomError(f"{address}: there is no such shard: is the range right?") from error
    except Exception as error:
        raise BitBloomError(
            f"{address} cannot be read ({type(error).__name__}: {error}): have you the right to read the bucket?"
        ) from error
