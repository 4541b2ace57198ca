"""The claim: expected digests in `digests/<target>.json`, path → SHA-256 and size of every output.

Those of embedded targets are committed.
"""

from __future__ import annotations

from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.digests import digest, size
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, conflicts, graph


def path(target: str) -> Path:
    """digests/<target>.json for an embedded target, else a path that git ignores."""
    folder = Path("digests") if composition.compose(target).embedded else Path(".bitbloom/digests")
    return folder / f"{target}.json"


def artifacts(target: str, until: str = "all") -> dict[str, str]:
    """Path of every output of a target's build up to a stage → the stage that makes it."""
    stages = {stage.stage: stage for stage in graph.stages(target, composition.compose(target))}
    needed = graph.upstream(stages, graph.ENDS if until == "all" else (until,))
    return {output: stage.stage for stage in needed for output in (*stage.outputs, *stage.metrics)}


def current(target: str, workspace: Path = Path(), until: str = "all") -> dict[str, dict[str, str | int]]:
    """Digest and size of every output of a target's build in a workspace, by path."""
    outputs = {output: workspace / output for output in sorted(artifacts(target, until))}
    return {output: {"sha256": digest(path), "bytes": size(path)} for output, path in outputs.items()}


def read(target: str) -> dict[str, dict[str, str | int]]:
    """Read the claim. Raises BitBloomError when it is missing or has merge conflicts."""
    file = path(target)
    if not file.exists():
        raise BitBloomError(
            f"{file} is missing: '{target}' has no expected digests yet; build it first: make all TARGET={target}"
        )
    conflicts.require_unmarked([file.as_posix()], conflicts.JOIN)
    claimed: dict[str, dict[str, str | int]] = canonical.read_json(file)
    return claimed


def write(target: str) -> None:
    """Write the digests of the current build as the claim."""
    canonical.write_json(path(target), current(target))
