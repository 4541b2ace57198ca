"""The data of trials, built by the pipeline, and the folders in which trials train."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bitbloom.config.models import typed_model
from bitbloom.config.target import params_path, part
from bitbloom.core import canonical
from bitbloom.models import weights
from bitbloom.pipeline import build, composition, graph
from bitbloom.pipeline.recovery import STATE
from bitbloom.stages import EVERY_STAGE, STAGES

LINKED = (*map(Path, ("requirements.lock", "requirements-cuda.lock", "weights.lock")), STATE / "weights", STATE / "downloads")
"""Inputs of the train stage besides data and configuration, relative to a workspace."""


class Workspaces:
    """Where the data of a target's trials is: trials whose overrides do not change the data share that of the main workspace."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.processed, self.features = Path("data/processed") / target, Path("data/features") / target
        self.built: dict[str, Path] = {}
        """Keys of the config that decide the data, as JSON → the workspace with that data."""

    @functools.cached_property
    def usual(self) -> DictConfig:
        """The configuration without overrides."""
        return composition.compose(self.target)

    def data(self, tree: DictConfig, overrides: Sequence[str]) -> Path:
        """The workspace with the data of a configuration; the pipeline builds it, or finds it current."""
        keys = self._keys(tree)
        if keys not in self.built:
            self.built[keys] = build.build(self.target, self._stages(tree)[-1], self._needed(tree, overrides))
        return self.built[keys]

    def trust(self, tree: DictConfig, overrides: Sequence[str]) -> Path | None:
        """The workspace with the data of a configuration as it is, without a build; None if it has none."""
        place = build.workspace(self.target, self._needed(tree, overrides))
        needed = [self.processed, *([self.features] if typed_model(tree.model).frozen else [])]
        return place if all((place / made).exists() for made in needed) else None

    def keep(self, tree: DictConfig, place: Path) -> None:
        """Use a workspace's data without a build: it was compared by its digest."""
        self.built[self._keys(tree)] = place

    def prepare(self, place: Path, tree: DictConfig, overrides: Sequence[str]) -> None:
        """Make the folder of a trial: configuration, and links to data, weights and locks."""
        params = place / params_path(self.target)
        if params.exists():
            return
        data, model = self.data(tree, overrides), typed_model(tree.model)
        weights.ensure_all(model.starts_from())
        for made in (self.processed, self.features):
            if (data / made).exists():
                _link(place / made, data / made)
        own = (folder for spec in model.starts_from() for folder in graph.own_folder(spec))
        for shared in (*LINKED, *map(Path, own)):
            _link(place / shared, shared)
        canonical.write_text(params, graph.HEADER + composition.yaml_text(tree))  # last: the folder is whole

    def _needed(self, tree: DictConfig, overrides: Sequence[str]) -> Sequence[str]:
        """The overrides of the build of the data."""
        return () if self._keys(tree) == self._keys(self.usual) else overrides

    def _stages(self, tree: DictConfig) -> list[str]:
        """The stages before training."""
        before = STAGES[: STAGES.index("train")]
        return [stage for stage in before if stage != "features" or typed_model(tree.model).frozen]

    def _keys(self, tree: DictConfig) -> str:
        """The values of all keys that a stage before training reads."""
        keys = {*EVERY_STAGE, *(key for stage in self._stages(tree) for key in graph.declared(stage, "READS"))}
        plain: Any = OmegaConf.to_container(tree)
        return canonical.json_text(part(plain, sorted(keys)))


def _link(path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(os.path.relpath(to, path.parent))
