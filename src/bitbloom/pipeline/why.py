"""The reasons why a stage would run again: its changed inputs, with the old and the new digest.

bitbloom why train                 # of petals
bitbloom why train petals-tiny
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, composition, conflicts, graph

KINDS = {"src/": "code", "bentos/": "code", "expectations/": "suite", "data/": "data", "models/": "model", "reports/": "report"}
DIGITS = 12


@dataclass(frozen=True)
class Reason:
    """One change: the kind and the name of the input, and its old and new value."""

    kind: str
    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.before} → {self.now}"


def why(stage: str, target: str) -> list[Reason]:
    """All reasons why a stage would run again; empty if it would not.

    Raises:
        BitBloomError: the stage or the target is unknown.
    """
    tree = composition.compose(target)
    if stage == "all":
        raise BitBloomError(f"name one stage: bitbloom why package {target}")
    graph.last_stages(stage, target, tree, beside=True)
    if not graph.has_current(target, tree):
        return [Reason("graph", f"{graph.pipeline(target)}/dvc.yaml", "as generated", "not current: run `make graph`, or build")]
    mine, known = {each.stage: each for each in graph.every_stage(target, tree)}, known_to_dvc()
    found = list(_reasons(known[mine[stage].name]))
    earlier = [each for each in graph.upstream(mine, (stage,))[:-1] if next(_reasons(known[each.name]), None)]
    return found + [Reason("stage", each.stage, "done", f"runs first: bitbloom why {each.stage} {target}") for each in earlier]


def changed_stages(target: str) -> list[str]:
    """The stages of a target that would run again because of their own inputs or outputs. Raises BitBloomError."""
    return [stage for stage, found in reasons([target])[target].items() if found]


def reasons(targets: Iterable[str]) -> dict[str, dict[str, list[Reason]]]:
    """For each stage of some targets, why it would run again because of its own inputs or outputs. Raises BitBloomError."""
    trees = {target: composition.compose(target) for target in targets}
    for target, tree in trees.items():
        if not graph.has_current(target, tree):
            raise BitBloomError(
                f"{graph.pipeline(target)}/dvc.yaml does not match the configuration of {target}: run `make graph`, or build"
            )
    known = known_to_dvc()
    return {
        target: {each.stage: list(_reasons(known[each.name])) for each in graph.stages(target, tree)}
        for target, tree in trees.items()
    }


def known_to_dvc() -> dict[str, Any]:
    """DVC's stages by name, with their records in dvc.lock, while no build runs. Read once: DVC's parser takes seconds.

    Raises:
        BitBloomError: a file has merge conflicts.
    """
    from dvc.repo import Repo

    with build.reading():
        conflicts.require_readable()
        with Repo(".") as repo:
            return {stage.addressing: stage for stage in repo.index.stages}


def _reasons(stage: Any) -> Iterator[Reason]:
    locked = [dependency for dependency in stage.deps if dependency.hash_info]
    if not locked:
        yield Reason("stage", stage.addressing, "never built here", "a first run")
        return
    if stage.changed_stage():
        yield Reason("command", "cmd", "another", stage.cmd)
    for dependency in stage.deps:
        yield from _of_params(dependency) if hasattr(dependency, "params") else _of_file(dependency)
    for out in stage.outs:
        yield from _of_file(out, made=True)


def _of_file(item: Any, made: bool = False) -> Iterator[Reason]:
    """The change of a file or folder that DVC compares by its hash. `made`: it is an output of the stage."""
    path = str(item.def_path)
    before = item.hash_info.value if item.hash_info else None
    now = item.get_hash().value if item.exists else None
    if before != now:
        kind = "output" if made else kind_of(path)
        yield Reason(kind, path, _short(before), "missing" if now is None else _short(now))


def _of_params(item: Any) -> Iterator[Reason]:
    """The changed keys of a parameter file."""
    before, now = item.hash_info.value or {}, item.read_params()
    for key in item.params:
        kind = "pretrained weights" if item.def_path == "weights.lock" else ("profile" if key == "numerics" else "config key")
        for name, old, new in changes(key, before.get(key, "nothing"), now.get(key, "nothing")):
            yield Reason(kind, name, str(old), str(new))


def changes(name: str, before: Any, now: Any) -> Iterable[tuple[str, Any, Any]]:
    """The different leaves of two trees, by dotted name."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            yield from changes(f"{name}.{key}", before.get(key, "nothing"), now.get(key, "nothing"))
    elif before != now:
        yield name, before, now


def kind_of(path: str) -> str:
    """The kind of an input at this path, for people."""
    if Path(path).suffix == ".lock":
        return "lock"
    return next((kind for prefix, kind in KINDS.items() if path.startswith(prefix)), "file")


def _short(digest: str | None) -> str:
    return "nothing" if digest is None else digest[:DIGITS]
