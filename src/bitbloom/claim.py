"""The claim: `digests/<target>.json`, path → SHA-256 and size of every output. Committed for the embedded targets."""

from __future__ import annotations

from pathlib import Path

from bitbloom import canonical, config, graph
from bitbloom.provenance.digests import digest, size


def path(target: str) -> Path:
    """digests/<target>.json, or a place that git ignores for a target whose data is not everybody's."""
    folder = Path("digests") if config.compose(target).embedded else Path(".bitbloom/digests")
    return folder / f"{target}.json"


def current(target: str) -> dict[str, dict[str, str | int]]:
    """Digest and size of every output of a target's build, by path."""
    graph_stages = graph.stages(target, config.compose(target))
    outputs = sorted(output for stage in graph_stages for output in (*stage.outputs, *stage.metrics))
    return {output: {"sha256": digest(Path(output)), "bytes": size(Path(output))} for output in outputs}


def write(target: str) -> None:
    """Write the claim of what is built now."""
    canonical.write_json(path(target), current(target))
