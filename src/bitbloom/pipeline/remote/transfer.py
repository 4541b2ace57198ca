"""Objects on their way between DVC's cache and a remote: several at a time, each compared with its digest.

An object is in the cache, or in the remote, whole or not at all, so a transfer that was killed continues where it stopped. The
listing of a folder follows its files, and the record of a run its outputs: what names other objects comes last.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from bitbloom.core import progress
from bitbloom.pipeline.remote.cache import DIRECTORY, RUNS, Cache, digest, object_name
from bitbloom.pipeline.remote.records import Output, of_run
from bitbloom.pipeline.remote.store import Absent, Entry, Store, Unreachable

AT_ONCE = 8
"""Transfers at the same time."""
ATTEMPTS = 2
"""How often an object is fetched that does not have its digest: once for damage on the way, twice for damage in the remote."""


@dataclass
class Fetched:
    """What a fetch did, by MD5: the number of new objects, those that the remote lacks, those that are damaged there."""

    new: int = 0
    absent: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)

    @property
    def failed(self) -> set[str]:
        """The objects that did not come."""
        return self.absent | self.damaged


def fetch(store: Store, cache: Cache, outputs: Collection[Output], label: str) -> Fetched:
    """Bring the objects of outputs that the cache lacks, first the listings of folders. Raises RemoteError."""
    done = Fetched()
    names = {output.md5: output.path for output in outputs}
    _bring(store, cache, {md5: path for md5, path in names.items() if md5.endswith(DIRECTORY)}, label, done)
    files = {md5: path for md5, path in names.items() if not md5.endswith(DIRECTORY)}
    for md5, path in names.items():
        if md5.endswith(DIRECTORY) and cache.has(md5):
            files |= {member.md5: f"{path}/{member.path}" for member in cache.members(md5)}
    _bring(store, cache, files, label, done)
    return done


def incomplete(cache: Cache, outputs: Iterable[Output]) -> list[Output]:
    """The outputs of which the cache lacks an object."""
    return [output for output in outputs if not _is_complete(cache, output.md5)]


def _is_complete(cache: Cache, md5: str) -> bool:
    if not cache.has(md5):
        return False
    return not md5.endswith(DIRECTORY) or all(cache.has(member.md5) for member in cache.members(md5))


def _bring(store: Store, cache: Cache, wanted: Mapping[str, str], label: str, done: Fetched) -> None:
    missing = {md5: path for md5, path in wanted.items() if not cache.has(md5)}
    with cache.incoming() as place:

        def bring(md5: str) -> None:
            try:
                if not _bring_one(store, cache, md5, place, missing[md5]):
                    done.damaged.add(md5)
            except Absent:
                done.absent.add(md5)

        _each(bring, missing, f"pulling {label}")
    done.new += len(missing.keys() - done.failed)


def _bring_one(store: Store, cache: Cache, md5: str, place: Path, path: str) -> bool:
    """Fetch an object, again when it does not have its digest. Returns whether it is in the cache."""
    file = place / md5
    for attempt in range(ATTEMPTS):
        store.read(object_name(md5), file)
        if digest(file) == md5.removesuffix(DIRECTORY):
            cache.take(file, md5)
            return True
        if attempt + 1 < ATTEMPTS:
            print(f"{path}: {object_name(md5)} came damaged: fetching it again", file=sys.stderr)
    return False


def send(store: Store, files: Mapping[str, Path], label: str, damaged: Collection[str] = ()) -> None:
    """Store files under their names; those of `damaged` replace what is there. Raises RemoteError, after whole objects."""

    def write(name: str) -> None:
        store.write(name, files[name], replace=name in damaged)

    _each(write, files, f"pushing {label}")


def fetch_runs(store: Store, cache: Cache) -> list[str]:
    """Bring the records of runs that the cache lacks. Returns the names of the damaged ones."""
    missing = [name for name in store.names(RUNS) if not (cache.root / name).is_file()]
    damaged = []
    with cache.incoming() as place:

        def bring(name: str) -> None:
            file = place / Path(name).name
            for _ in range(ATTEMPTS):
                with contextlib.suppress(Absent):  # deleted since it was listed
                    store.read(name, file)
                    if of_run(file) is not None:
                        (cache.root / name).parent.mkdir(parents=True, exist_ok=True)
                        file.replace(cache.root / name)
                        return
            damaged.append(name)

        _each(bring, missing, "pulling records of runs")
    return damaged


def is_damaged(md5: str, entry: Entry) -> bool:
    """Whether the service received other bytes than the name says. A folder computes no digest."""
    return entry.md5 is not None and entry.md5 != md5.removesuffix(DIRECTORY)


def _each(do: Callable[[str], None], names: Collection[str], description: str) -> None:
    """Do something for each name, several at a time. After a failure, start nothing more.

    Raises:
        RemoteError: the first failure; of the network, with the number of the objects that are done.
    """
    if not names:
        return
    finished = 0
    with ThreadPoolExecutor(AT_ONCE) as pool, progress.advancing(description, len(names)) as advance:
        started = [pool.submit(do, name) for name in names]
        try:
            for future in as_completed(started):
                future.result()
                finished += 1
                advance(1)
        except Unreachable as error:
            raise Unreachable(f"{error} ({finished} of {len(names)} objects are done and stay)") from error
        finally:
            pool.shutdown(cancel_futures=True)
