"""A run: a training and what was made of it. Its record is canonical JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.reasons import reason
from bitbloom.pipeline.graph import ENDS
from bitbloom.pipeline.summary import SCORES

FORMAT = 1
"""Version of the fields of a record."""
BUILD, WORKSPACE, WANDB = "build", "workspace", "W&B"
"""Origins of a run: the record of a build, a workspace without a record, a folder of W&B's client."""
UNPLOTTED = ("epoch", "step")
SHORT = 8
"""Digits of an id or a digest in a table."""

Row = Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """A run.

    What its origin does not record is None: W&B's files have no code, a workspace without a record has no duration.

    Attributes:
        id: 16 hexadecimal digits: a hash of the inputs of training and of the whole configuration.
        training: 16 hexadecimal digits: the hash of the inputs of training, which is the run's id in W&B.
        target: the name of the target; of a W&B run, its group, else its model, else its project.
        origin: BUILD, WORKSPACE or WANDB.
        workspace: its folder, relative to the checkout where it is below it.
        when: the end of the build, UTC, ISO 8601; of a workspace, the last change of its curves; of W&B, the start.
        seconds: duration of the longest build that made it. Stages from the cache take no time.
        overrides: `key=value`; empty for the target's own configuration.
        committed: whether the configuration is the one in the commit.
        commit: HEAD of the build, 40 hexadecimal digits.
        dirty: whether the checkout had uncommitted changes.
        stages: the stages that are current, in the order of a build.
        config: the composed configuration, a tree.
        code: path → MD5 of every code file that a current stage imports, and of suites and service files.
        locks: name → MD5 or version of lock files, and of pretrained weights.
        data: path → MD5 of the inputs and outputs below `data/`.
        outputs: path → MD5 of every other output.
        digests: name → SHA-256 of data, weights, model and Bento, as the summary of a build shows them.
        metrics: name → number of the test split; empty before the evaluation.
        curves: one row per epoch, as in `training.json`.
    """

    id: str
    training: str
    target: str
    origin: str
    workspace: str
    when: str = ""
    seconds: float | None = None
    overrides: list[str] | None = None
    committed: bool | None = None
    commit: str | None = None
    dirty: bool | None = None
    stages: list[str] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    code: dict[str, str] | None = None
    locks: dict[str, str] | None = None
    data: dict[str, str] | None = None
    outputs: dict[str, str] | None = None
    digests: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: list[dict[str, float]] = field(default_factory=list)

    @property
    def short(self) -> str:
        """The first digits of the id."""
        return self.id[:SHORT]

    @property
    def configured(self) -> str:
        """The configuration in words: its overrides, or whether it is the committed one."""
        if self.overrides:
            return " ".join(self.overrides)
        return {True: "committed config", False: "edited config", None: "–"}[self.committed]

    @property
    def until(self) -> str:
        """How far the build went, in words; empty where that is not recorded."""
        if not self.stages:
            return ""
        return "all stages" if set(ENDS) <= set(self.stages) else f"up to {self.stages[-1]}"

    @property
    def committed_as(self) -> str:
        """The first digits of the commit, with `+` for uncommitted changes."""
        return f"{self.commit[:SHORT]}{'+' if self.dirty else ''}" if self.commit else "–"

    @property
    def headlines(self) -> dict[str, float]:
        """The first two of the target's main metrics; before the evaluation, the last validation scores."""
        main = {name: self.metrics[name] for name in SCORES if name in self.metrics}
        if not main and self.curves:
            main = {name: value for name, value in self.curves[-1].items() if name.startswith("val_")}
        return dict(list(main.items())[:2])

    @property
    def curve_names(self) -> list[str]:
        """The names of its curves, sorted: losses first."""
        names = {name for row in self.curves for name in row} - set(UNPLOTTED)
        return sorted(names, key=lambda name: ("loss" not in name, name))


TYPES: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "training": (str,),
    "target": (str,),
    "origin": (str,),
    "workspace": (str,),
    "when": (str,),
    "seconds": (int, float, type(None)),
    "overrides": (list, type(None)),
    "committed": (bool, type(None)),
    "commit": (str, type(None)),
    "dirty": (bool, type(None)),
    "stages": (list, type(None)),
    "config": (dict,),
    "code": (dict, type(None)),
    "locks": (dict, type(None)),
    "data": (dict, type(None)),
    "outputs": (dict, type(None)),
    "digests": (dict,),
    "metrics": (dict,),
    "curves": (list,),
}
"""Field → the types of its value in JSON."""


def as_json(run: Run) -> dict[str, Any]:
    """The run as plain values."""
    return {"format": FORMAT, **asdict(run)}


def write(path: Path, run: Run) -> None:
    """Write the record of a run, whole or not at all."""
    canonical.write_json(path, as_json(run))


def read(path: Path) -> Run:
    """Read the record of a run. Raises BitBloomError when the file is damaged, or of another version."""
    try:
        content = canonical.read_json(path)
        version = content.pop("format")
        if version != FORMAT:
            raise BitBloomError(f"{path} has format {version}, and this version reads {FORMAT}: remove the file")
        check(content)
        return Run(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BitBloomError(f"{path} is not the record of a run ({reason(error)}): remove the file") from error


def check(content: Mapping[str, Any]) -> None:
    """Raise ValueError when a field is missing, unknown or of another type, or a number is not one."""
    names = {each.name for each in fields(Run)}
    if names != content.keys():
        raise ValueError(f"fields {', '.join(sorted(names ^ content.keys()))}")
    for name, value in content.items():
        if not isinstance(value, TYPES[name]):
            raise ValueError(f"field '{name}'")
    numbers = [*content["metrics"].values(), *(value for row in content["curves"] for value in row.values())]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise ValueError("a number of metrics or curves")
    if any("epoch" not in row for row in content["curves"]):
        raise ValueError("a row of curves without an epoch")


def relative(path: Path) -> str:
    """A path relative to the current folder if it is below it, else absolute."""
    place, here = path.resolve(), Path.cwd()
    return (place.relative_to(here) if place.is_relative_to(here) else place).as_posix()
