"""What DVC tracks of a target, and nothing else: the outputs in its lock, and the user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from bitbloom.pipeline import graph
from bitbloom.pipeline.remote import records

if TYPE_CHECKING:
    from bitbloom.pipeline.remote.records import Output


def outputs(target: str, tree: DictConfig, until: str = "all") -> list[Output]:
    """The recorded outputs of a target's stages up to one, in order, after its own data. Raises BitBloomError."""
    last = graph.last_stages(until, target, tree)
    mine = {stage.stage: stage for stage in graph.stages(target, tree)}
    needed = [stage.stage for stage in graph.upstream(mine, last)]
    recorded = {record.stage: record for record in records.of_lock(Path(), target)}
    found = [output for name in needed if name in recorded for output in recorded[name].outputs]
    return [*records.of_external(Path(), graph.external(tree)), *found]


def unrecorded(target: str, tree: DictConfig, until: str = "all") -> list[str]:
    """The stages up to one that the lock does not have: they never ran. Raises BitBloomError."""
    last = graph.last_stages(until, target, tree)
    mine = {stage.stage: stage for stage in graph.stages(target, tree)}
    recorded = {record.stage for record in records.of_lock(Path(), target)}
    return [stage.stage for stage in graph.upstream(mine, last) if stage.stage not in recorded]
