"""Before a build: bring to DVC's cache what the remote has of it, so that DVC takes stages from there and does not run them.

A build that has everything sends no request. When the remote does not respond, refuses or lacks an object, the build makes the
outputs itself, and says why. DVC itself is not asked to pull: it would stop the build, and it does not compare digests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline.remote import records, settings
from bitbloom.pipeline.remote.cache import Cache
from bitbloom.pipeline.remote.opening import opened
from bitbloom.pipeline.remote.store import RemoteError, Store
from bitbloom.pipeline.remote.transfer import Fetched, fetch, fetch_runs, incomplete

if TYPE_CHECKING:
    from bitbloom.pipeline import graph
    from bitbloom.pipeline.remote.records import Output, Record


def prefetch(workspace: Path, target: str, stages: Sequence[graph.Stage], own: Sequence[str]) -> list[str]:
    """Bring the outputs of these stages, and the user's own data, as far as the remote has them.

    Args:
        workspace: of the build.
        target: its name.
        stages: that the build needs, in order.
        own: folders of the user's own data that are not in the workspace.

    Returns:
        The folders among `own` whose objects are all in the cache: `dvc checkout` can restore them.

    Raises:
        BitBloomError: own data is not in the cache, and does not come from the remote either.
    """
    remote = settings.default()
    if remote is None or remote.is_foreign:
        return []
    cache = Cache(settings.cache_folder())
    data = records.of_external(Path(), own)
    if not incomplete(cache, data) and _is_here(cache, workspace, target, stages):
        return [output.path for output in data]
    try:
        store = opened(remote)
        if data:
            _require(fetch(store, cache, data, f"the data of {target}"), cache, data, remote.url)
        _fetch_outputs(store, cache, workspace, target, stages)
    except RemoteError as error:
        if incomplete(cache, data):
            raise
        print(f"building without the remote: {error}", file=sys.stderr)
    return [output.path for output in data]


def _is_here(cache: Cache, workspace: Path, target: str, stages: Sequence[graph.Stage]) -> bool:
    """Whether the lock holds for all stages, and their outputs are in the cache."""
    found = records.matching(workspace, stages, records.of_lock(workspace, target))
    return len(found) == len(stages) and not incomplete(cache, _outputs(found.values()))


def _fetch_outputs(store: Store, cache: Cache, workspace: Path, target: str, stages: Sequence[graph.Stage]) -> None:
    damaged = fetch_runs(store, cache)
    for name in damaged:
        print(f"{store.url}/{name} is damaged: this build does not use it", file=sys.stderr)
    runs = [record for file in cache.runs() if records.is_run_of(file, target) and (record := records.of_run(file))]
    found = records.matching(workspace, stages, [*records.of_lock(workspace, target), *runs])
    wanted = incomplete(cache, _outputs(found.values()))
    if not wanted:
        return
    done = fetch(store, cache, wanted, target)
    left = incomplete(cache, wanted)
    print(f"{store.url}: {done.new:,} objects of {len(wanted) - len(left)} outputs pulled")
    for output in left:
        if done.damaged:
            print(f"{output.path}: damaged in the remote: this build makes it", file=sys.stderr)


def _outputs(found: Iterable[Record]) -> list[Output]:
    return [output for record in found for output in record.outputs]


def _require(done: Fetched, cache: Cache, data: Sequence[Output], url: str) -> None:
    """Raise BitBloomError when own data did not come."""
    for output in incomplete(cache, data):
        how = "is damaged in" if done.damaged else "was never pushed to"
        raise BitBloomError(f"{output.path} {how} {url}: `make push` where the data is, or import it again")
