"""The claim: `digests/<target>.json`, path → SHA-256 and size of every output. Committed for the embedded targets."""

from __future__ import annotations

from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.digests import digest, size
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph


def path(target: str) -> Path:
    """digests/<target>.json, or a place that git ignores for a target whose data is not everybody's."""
    folder = Path("digests") if composition.compose(target).embedded else Path(".bitbloom/digests")
    return folder / f"{target}.json"


def artifacts(target: str, until: str = "all") -> dict[str, str]:
    """Every output of a target's build up to a stage, by path, and the stage that makes it."""
    stages = {stage.stage: stage for stage in graph.stages(target, composition.compose(target))}
    needed = graph.upstream(stages, graph.ENDS if until == "all" else (until,))
    return {output: stage.stage for stage in needed for output in (*stage.outputs, *stage.metrics)}


def current(target: str, workspace: Path = Path(), until: str = "all") -> dict[str, dict[str, str | int]]:
    """Digest and size of every output of a target's build in a workspace, by path."""
    outputs = {output: workspace / output for output in sorted(artifacts(target, until))}
    return {output: {"sha256": digest(path), "bytes": size(path)} for output, path in outputs.items()}


def read(target: str) -> dict[str, dict[str, str | int]]:
    """The claim as it stands. Raises BitBloomError when there is none."""
    file = path(target)
    if not file.exists():
        raise BitBloomError(f"{file} is missing: nothing is claimed of '{target}' yet; build it first: make all TARGET={target}")
    claimed: dict[str, dict[str, str | int]] = canonical.read_json(file)
    return claimed


def write(target: str) -> None:
    """Write the claim of what is built now."""
    canonical.write_json(path(target), current(target))
