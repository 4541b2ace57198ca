"""A search space, one YAML file: the target, the metric, sampler, pruner, and a range for each searched key of the config.

target: petals
metric: val_accuracy            # a column of training.json: the validation split, never the test split
sampler: tpe                    # tpe | random | grid
pruner: {kind: hyperband, first: 2, factor: 3}
trials: 24
generation: 6                   # proposed together; part of the space, so that the number of workers changes nothing
set: [train.part=50]            # overrides of every trial
parameters:
  train.learning_rate: {log: [0.0003, 0.003]}
  train.weight_decay: {float: [0.0, 0.2], step: 0.05}
  model.layers: {int: [2, 6]}
  augment: {choice: [garden, strong]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bitbloom.config.target import first_line
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep.parameter import Parameter, parameter

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("none", "median", "halving", "hyperband")
DIRECTIONS = ("maximize", "minimize")


@dataclass
class Pruner:
    """When trials are compared, and how many go on."""

    kind: str = "none"
    """none | median | halving | hyperband, of Optuna."""
    first: int = 1
    """The epoch of the first rung."""
    every: int = 1
    """Of `median`: epochs between rungs."""
    factor: int = 3
    """Of `halving` and `hyperband`: about one trial in `factor` goes on, and the next rung has `factor` times the epochs."""
    startup: int = 5
    """Of `median`: number of complete trials before the first comparison."""


@dataclass
class Space:
    """A search space."""

    target: str = MISSING
    metric: str = "val_accuracy"
    direction: str = "maximize"
    sampler: str = "tpe"
    seed: int = 2026
    """Of the sampler."""
    startup: int = 10
    """Of `tpe`: number of random trials at the start."""
    trials: int = 12
    generation: int = 4
    """Number of trials that are proposed together, and compared at rungs."""
    pruner: Pruner = field(default_factory=Pruner)
    set: list[str] = field(default_factory=list)
    """Overrides of every trial."""
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def searched(self) -> list[Parameter]:
        """The searched keys with their ranges, sorted."""
        return [parameter(key, self.parameters[key]) for key in sorted(self.parameters)]

    def overrides(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The overrides of a trial with these values of the searched keys."""
        return (*self.set, *(searched.override(values[searched.key]) for searched in self.searched))

    def values(self, given: Sequence[str]) -> dict[str, Any]:
        """Values of searched keys from `key=value` texts. Raises BitBloomError for another key or no number."""
        known, found = {searched.key: searched for searched in self.searched}, dict[str, Any]()
        for text in given:
            key, _, value = text.removeprefix("--").partition("=")
            if key not in known:
                raise BitBloomError(f"'{text}': the space has no parameter '{key}'; it has {', '.join(known)}")
            found[key] = known[key].value(value)
        return found

    def plain(self) -> dict[str, Any]:
        """All of it as plain values, for the history."""
        return dict(OmegaConf.to_container(OmegaConf.structured(self)))  # type: ignore[arg-type]

    def count(self) -> int:
        """The number of trials; a grid has no more than its points."""
        if self.sampler != "grid":
            return self.trials
        points = 1
        for searched in self.searched:
            points *= len(searched.grid())
        return min(self.trials, points)


def read(path: Path, target: str = "", trials: int = 0) -> Space:
    """Read and check a space, with another target or number of trials where they are given.

    Raises:
        BitBloomError: the file is missing, or a key of it is unknown or has a wrong value.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise BitBloomError(f"{path}: a search space has keys: target, metric, parameters, …")
        if isinstance(found.get("pruner"), str):
            found["pruner"] = {"kind": found["pruner"]}
        given = {key: value for key, value in (("target", target), ("trials", trials)) if value}
        space = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Space), found, given))
    except OSError as error:
        known = ", ".join(sorted(file.as_posix() for file in Path("conf/sweep").glob("*.yaml")))
        raise BitBloomError(f"no search space {path}; there are: {known or 'none in conf/sweep/'}") from error
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise BitBloomError(f"{path}: {first_line(error)}") from error
    assert isinstance(space, Space)
    try:
        _check(space)
    except BitBloomError as error:
        raise BitBloomError(f"{path}: {error}") from error
    return space


def _check(space: Space) -> None:
    choices = (("direction", space.direction, DIRECTIONS), ("sampler", space.sampler, SAMPLERS))
    for key, value, known in (*choices, ("pruner.kind", space.pruner.kind, PRUNERS)):
        if value not in known:
            raise BitBloomError(f"{key} '{value}' is none of {', '.join(known)}")
    counts = {"trials": space.trials, "generation": space.generation, "startup": space.startup}
    counts |= {f"pruner.{key}": getattr(space.pruner, key) for key in ("first", "every", "startup")}
    for key, number in counts.items():
        if number < 1:
            raise BitBloomError(f"{key} is {number}: it has to be 1 or more")
    if space.pruner.factor < 2:
        raise BitBloomError(f"pruner.factor is {space.pruner.factor}: it has to be 2 or more")
    if not space.metric.startswith("val_"):
        raise BitBloomError(f"metric '{space.metric}' is not of the validation split: val_accuracy, val_loss, …")
    if not space.parameters:
        raise BitBloomError("parameters is empty: it has a range for each searched key")
    if space.searched and space.sampler == "grid":
        space.count()


def read_plain(plain: Mapping[str, Any]) -> Space:
    """A space as `Space.plain` returns it."""
    space = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Space), plain))
    assert isinstance(space, Space)
    return space
