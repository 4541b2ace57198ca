"""`bitbloom pull`: bring what the remote has of a target to the workspace, and name what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, composition, conflicts
from bitbloom.pipeline.recovery import recover
from bitbloom.pipeline.remote import settings, tracked
from bitbloom.pipeline.remote.cache import Cache
from bitbloom.pipeline.remote.opening import opened
from bitbloom.pipeline.remote.transfer import Fetched, fetch, fetch_runs, incomplete

if TYPE_CHECKING:
    from bitbloom.pipeline.remote.records import Output


def pull(target: str, until: str = "all") -> str:
    """Pull a target's stages up to one, and the records of runs. Returns what came, in words.

    Raises:
        BitBloomError: the remote lacks an output or has it damaged; all else is in the workspace.
        RemoteError: the remote does not exist, does not respond, or refuses; a new call continues.
    """
    tree = composition.compose(target)
    with build.build_lock():
        conflicts.require_readable()
        recover(Path(), [target])
        outputs = tracked.outputs(target, tree, until)
        if not outputs:
            raise BitBloomError(f"no commit records a build of '{target}', so there is nothing to pull: make all TARGET={target}")
        cache = Cache(settings.cache_folder())
        remote = settings.required()
        store = opened(remote)
        done = fetch(store, cache, incomplete(cache, outputs), target)
        fetch_runs(store, cache)
        left = incomplete(cache, outputs)
        here = [output for output in outputs if output not in left]
        names = [f"{output.path}.dvc" if output.stage == "import" else output.path for output in here]
        build.checkout_tracked(names, build.environ(str(tree.numerics.profile)))
    line = f"{target}: {done.new:,} objects pulled from {remote.url}; {len(here)} of {len(outputs)} outputs are here"
    if left:
        raise BitBloomError("\n".join([line, *_reasons(cache, left, done, remote.url)]))
    return line


def _reasons(cache: Cache, left: Sequence[Output], done: Fetched, url: str) -> list[str]:
    """Why outputs are not here, one line each."""
    return [
        f"  {output.path} ({output.stage}): "
        + (
            f"damaged in {url}: delete the named objects there, then `make push` where it was built"
            if _objects(cache, output) & done.damaged
            else "never pushed: `make push` where it was built, or build it here"
        )
        for output in left
    ]


def _objects(cache: Cache, output: Output) -> set[str]:
    """The MD5 of an output and, if its listing is here, of its files."""
    is_listed = output.md5.endswith(".dir") and cache.has(output.md5)
    return {output.md5, *(member.md5 for member in (cache.members(output.md5) if is_listed else ()))}
