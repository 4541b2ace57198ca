"""`bitbloom data-status`: which outputs of a target this checkout and the remote have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, composition
from bitbloom.pipeline.remote import settings, tracked
from bitbloom.pipeline.remote.cache import DIRECTORY, Cache, object_name
from bitbloom.pipeline.remote.opening import opened
from bitbloom.pipeline.remote.transfer import is_damaged

if TYPE_CHECKING:
    from bitbloom.pipeline.remote.records import Output
    from bitbloom.pipeline.remote.store import Entry


@dataclass(frozen=True)
class Row:
    """An output: its path and stage, and its state here and in the remote."""

    path: str
    stage: str
    here: str
    remote: str


def status(target: str, until: str = "all") -> tuple[str, list[Row]]:
    """The address of the remote, and a row for each recorded output. Raises BitBloomError."""
    tree = composition.compose(target)
    with build.reading():
        outputs, never = tracked.outputs(target, tree, until), tracked.unrecorded(target, tree, until)
    cache, remote = Cache(settings.cache_folder()), settings.required()
    store = opened(remote)
    needed = {output.md5: _objects(cache, output) for output in outputs}
    there = store.find({object_name(md5) for objects in needed.values() for md5 in objects})
    rows = [Row(output.path, output.stage, _here(cache, output), _there(needed[output.md5], there)) for output in outputs]
    return remote.url, [*rows, *(Row("", stage, "never built", "never pushed") for stage in never)]


def _objects(cache: Cache, output: Output) -> list[str]:
    """The MD5 of the output itself, then those of its files, if its listing is here."""
    is_listed = output.md5.endswith(DIRECTORY) and cache.has(output.md5)
    return [output.md5, *({member.md5 for member in cache.members(output.md5)} if is_listed else ())]


def _here(cache: Cache, output: Output) -> str:
    place = "in the workspace" if Path(output.path).exists() else "in the cache"
    present = [cache.has(md5) for md5 in _objects(cache, output)]
    return place if all(present) else f"{sum(present)} of {len(present)} objects" if present[0] else "no"


def _there(objects: list[str], there: dict[str, Entry]) -> str:
    found = [md5 for md5 in objects if object_name(md5) in there]
    damaged = [md5 for md5 in found if is_damaged(md5, there[object_name(md5)])]
    if damaged:
        return f"{len(damaged)} damaged"
    return "yes" if len(found) == len(objects) else f"{len(found)} of {len(objects)} objects" if found else "never pushed"


def show(target: str, url: str, rows: list[Row]) -> None:
    """Print the table. Raises BitBloomError when the remote has an object damaged."""
    table = Table("output", "stage", "here", "remote", title=f"{target}, {url}")
    for row in rows:
        table.add_row(row.path, row.stage, row.here, row.remote)
    Console(width=None if Console().is_terminal else 120).print(table)
    if any(row.remote.endswith("damaged") for row in rows):
        raise BitBloomError(f"{url} has damaged objects: `make push TARGET={target}` where they are whole replaces them")
