"""Digests of all that decides the bytes of trials: code, configuration, data, pretrained weights, lock, version of Optuna.

The head of a history has those of the search. The record of a trial has one digest of its own inputs, so that a result of other
code, configuration or data is never taken for one of this search. Nothing here imports PyTorch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bitbloom.config.models import typed_model
from bitbloom.config.target import params_path
from bitbloom.core import canonical, imports
from bitbloom.core.digests import digest, listing_digest
from bitbloom.models import weights
from bitbloom.numerics import pins
from bitbloom.pipeline import composition, graph

MISSING = "missing"
"""Stands for the digest of data that is not there."""


class Inputs:
    """Digests of files. Each is read once, so all that one instance returns is of one state of the files."""

    def __init__(self) -> None:
        self._digests: dict[Path, str] = {}

    def of_search(self, trees: Iterable[Any]) -> dict[str, str]:
        """What all trials share besides data, from the configurations without a searched value and with each of them.

        `code` and `weights` also have those of searched kinds of model, `config` the content of searched groups.
        """
        trees = list(trees)
        return {
            "code": self._code(trees, ("features", "train")),
            "config": _sha256([composition.yaml_text(tree) for tree in trees]),
            "lock": self._digest(Path(pins.lock(str(trees[0].numerics.profile)))),
            "optuna": version("optuna"),
            "weights": _sha256(_weights(trees)),
        }

    def of_trial(self, place: Path, target: str) -> str:
        """SHA-256 of all inputs of the training in a trial's folder. The code is that of this package."""
        params = place / params_path(target)
        tree = OmegaConf.load(params)
        found = {
            "code": self._code([tree], ("train",)),
            "config": params.read_text(encoding="utf-8"),
            "lock": self._digest(place / pins.lock(str(tree.numerics.profile))),
            "weights": _weights([tree]),
        }
        return _sha256(found | self.data(tree, place, target))

    def data(self, tree: Any, place: Path, target: str) -> dict[str, str]:
        """The digests of a workspace's data; `features` only where the model has frozen parts."""
        found = {"data": self._digest(place / "data/processed" / target)}
        return found | ({"features": self._digest(place / "data/features" / target)} if typed_model(tree.model).frozen else {})

    def _code(self, trees: Iterable[Any], stages: Iterable[str]) -> str:
        """The digest of the modules of these stages; of `features` only where a model has frozen parts."""
        needed = [(stage, tree) for tree in trees for stage in stages if stage != "features" or typed_model(tree.model).frozen]
        names = sorted({name for stage, tree in needed for name in graph.modules(stage, tree)})
        return listing_digest({name: self._digest(imports.ROOT / name.removeprefix("src/")) for name in names})

    def _digest(self, path: Path) -> str:
        path = path.resolve()
        if path not in self._digests:
            self._digests[path] = digest(path) if path.exists() else MISSING
        return self._digests[path]


def changed(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """The names of ours that differ from theirs."""
    return sorted(name for name in ours if ours[name] != theirs.get(name))


def _weights(trees: Iterable[Any]) -> dict[str, Any]:
    specs = {spec for tree in trees for spec in typed_model(tree.model).starts_from()}
    return {spec: weights.identity(spec) for spec in sorted(specs)}


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical.json_text(value).encode()).hexdigest()
