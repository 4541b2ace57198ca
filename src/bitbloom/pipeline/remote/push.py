"""`bitbloom push`: send to the remote what DVC tracks of a target, and the records of its runs.

Only new objects are sent. Another clone that pushes the same at the same time sends the same bytes, so neither waits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, composition, conflicts
from bitbloom.pipeline.recovery import recover
from bitbloom.pipeline.remote import records, settings, tracked
from bitbloom.pipeline.remote.cache import DIRECTORY, Cache, object_name
from bitbloom.pipeline.remote.opening import opened
from bitbloom.pipeline.remote.transfer import is_damaged, send

if TYPE_CHECKING:
    from bitbloom.pipeline.remote.records import Output
    from bitbloom.pipeline.remote.settings import Remote
    from bitbloom.pipeline.remote.store import Entry, Store


@dataclass
class Sent:
    """What a push sent: new objects, bytes, objects that replaced damaged ones, records of runs."""

    objects: int = 0
    size: int = 0
    replaced: list[str] = field(default_factory=list)
    runs: int = 0


def push(target: str, until: str = "all", remote: Remote | None = None) -> Sent:
    """Push a target's stages up to one to a remote; by default, to the configured one.

    Raises:
        BitBloomError: something was never built, or is damaged here; all else is sent.
        RemoteError: the remote does not exist, does not respond, or refuses.
    """
    tree = composition.compose(target)
    with build.build_lock():
        conflicts.require_readable()
        recover(Path(), [target])
        outputs, never = tracked.outputs(target, tree, until), tracked.unrecorded(target, tree, until)
        if not outputs:
            raise BitBloomError(f"'{target}' was never built, so there is nothing to push: make all TARGET={target}")
        cache = Cache(settings.cache_folder())
        store = opened(remote or settings.required())
        sent, lacking = _push(store, cache, outputs, target)
    if missing := [*never, *dict.fromkeys(output.stage for output in lacking)]:
        command = f"make {'all' if until == 'all' else until} TARGET={target}"
        others = f"; the other outputs are in {store.url}" if len(lacking) < len(outputs) else ""
        raise BitBloomError(f"{target} was never built here: {', '.join(missing)}: {command}{others}")
    return sent


def _push(store: Store, cache: Cache, outputs: Sequence[Output], target: str) -> tuple[Sent, list[Output]]:
    """Send files, then listings of folders, then records. Returns also the outputs that neither side has."""
    there = store.find({object_name(output.md5) for output in outputs})
    here = [output for output in outputs if cache.has(output.md5)]
    members = {member.md5 for output in here if output.md5.endswith(DIRECTORY) for member in cache.members(output.md5)}
    files = members | {output.md5 for output in outputs if not output.md5.endswith(DIRECTORY)}
    there |= store.find({object_name(md5) for md5 in members})
    sent = Sent()
    _send(store, cache, files, there, target, sent)
    lacking = [output for output in outputs if _lacks(cache, output, there)]
    folders = {output.md5 for output in outputs if output.md5.endswith(DIRECTORY) and output not in lacking}
    _send(store, cache, folders, there, target, sent)
    _send_runs(store, cache, {output.md5 for output in outputs if output not in lacking}, target, sent)
    return sent, lacking


def _lacks(cache: Cache, output: Output, there: Collection[str]) -> bool:
    """Whether neither the cache nor the remote has all objects of an output."""
    needed = {output.md5}
    if output.md5.endswith(DIRECTORY) and cache.has(output.md5):
        needed |= {member.md5 for member in cache.members(output.md5)}
    return any(object_name(md5) not in there and not cache.has(md5) for md5 in needed)


def _send(store: Store, cache: Cache, wanted: Collection[str], there: dict[str, Entry], target: str, sent: Sent) -> None:
    """Send objects that the remote lacks, or has damaged. Raises BitBloomError for one that is damaged here."""
    new = {md5 for md5 in wanted if object_name(md5) not in there and cache.has(md5)}
    damaged = {md5 for md5 in wanted if md5 not in new and cache.has(md5) and _differs(cache, md5, there.get(object_name(md5)))}
    for md5 in sorted(new | damaged):
        if not cache.is_whole(md5):
            raise BitBloomError(f"{cache.path(md5)} is damaged here, so nothing of it is sent: delete it, and build again")
    send(store, {object_name(md5): cache.path(md5) for md5 in new | damaged}, target, set(map(object_name, damaged)))
    sent.objects += len(new)
    sent.replaced += sorted(map(object_name, damaged))
    sent.size += sum(cache.path(md5).stat().st_size for md5 in new | damaged)


def _differs(cache: Cache, md5: str, entry: Entry | None) -> bool:
    """Whether the remote's object is damaged: by the digest that a bucket knows, or by its size."""
    return entry is not None and (is_damaged(md5, entry) or entry.size != cache.path(md5).stat().st_size)


def _send_runs(store: Store, cache: Cache, complete: Collection[str], target: str, sent: Sent) -> None:
    """Send the records of this target's runs whose outputs are all in the remote."""
    mine = {}
    for file in cache.runs():
        record = records.of_run(file) if records.is_run_of(file, target) else None
        if record and all(output.md5 in complete for output in record.outputs):
            mine[file.relative_to(cache.root).as_posix()] = file
    new = {name: mine[name] for name in mine.keys() - store.find(mine.keys()).keys()}
    send(store, new, f"{target}: records of runs")
    sent.runs = len(new)


def in_words(target: str, sent: Sent, url: str) -> str:
    """A push on one line, and the objects that it repaired."""
    if not (sent.objects or sent.replaced or sent.runs):
        return f"{target}: {url} has everything already"
    line = f"{target}: {sent.objects:,} objects and {sent.runs} records of runs pushed to {url} ({sent.size / 1e6:,.1f} MB)"
    return "\n".join([line, *(f"{url}/{name} was damaged: replaced" for name in sent.replaced)])
