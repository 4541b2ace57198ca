"""The kinds of models: one module each, whose dataclass `<Kind>Model` has every key with its type, default and meaning."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import MISSING, OmegaConf

from bitbloom.core.errors import BitBloomError

FOLDER = Path(__file__).parent


@dataclass
class Model:
    """What every network has. `kind` picks the section's type, `architecture` the builder, `weights` where it starts from."""

    kind: str = MISSING
    architecture: str = MISSING
    weights: str = "none"
    """none | locked:NAME (of weights.lock) | hub:REPOSITORY@REVISION | path:FOLDER."""

    PARTS: ClassVar[tuple[str, ...]] = ()
    """Fields that are models themselves, with weights of their own."""
    EXPORTS: ClassVar[tuple[str, ...]] = ("model.onnx", "model.int8.onnx")
    """What the export stage writes."""
    SCORE: ClassVar[str] = "val_accuracy"
    """The curve of training that is drawn beside the losses."""
    CONFUSION: ClassVar[bool] = True
    """Whether its predictions are classes, of which one may be taken for another."""
    PREDICTIONS: ClassVar[tuple[str, ...]] = ("confusion", "actual", "predicted")
    """The evaluation's table of test samples, and its columns of the truth and of the prediction."""
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Keys that take one of some values."""
    POSITIVE: ClassVar[tuple[str, ...]] = ()
    """Keys whose value is 1 or more."""

    @property
    def frozen(self) -> bool:
        """Whether a part of it keeps its weights, so that its outputs for every sample can be computed once."""
        return False

    def starts_from(self) -> list[str]:
        """The weights that it starts from, those of its parts included."""
        own = [self.weights, *(spec for part in self.PARTS for spec in getattr(self, part).starts_from())]
        return [spec for spec in own if spec != "none"]


def kinds() -> list[str]:
    """Names of the modules of this package."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def model_type(kind: object) -> type[Model]:
    """The dataclass of a kind. Raises BitBloomError for an unknown one."""
    if kind not in kinds():
        raise BitBloomError(f"model.kind '{kind}' is none of {', '.join(kinds())}")
    found: type[Model] = getattr(importlib.import_module(f"{__name__}.{kind}"), f"{str(kind).capitalize()}Model")
    return found


def typed_model(section: Mapping[str, Any]) -> Model:
    """A `model` section as the type that its `kind` names. Raises BitBloomError for an unknown kind."""
    typed = OmegaConf.merge(OmegaConf.structured(model_type(section.get("kind"))), dict(section))
    found = OmegaConf.to_object(typed)
    assert isinstance(found, Model)
    return found
