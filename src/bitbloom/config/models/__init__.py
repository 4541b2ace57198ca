"""The kinds of models: one module each; its dataclass `<Kind>Model` has every key with its type, default and meaning."""

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
    """Keys of every network: `kind` selects the section's type, `architecture` the builder, `weights` the initial weights."""

    kind: str = MISSING
    architecture: str = MISSING
    weights: str = "none"
    """none | locked:NAME (of weights.lock) | hub:REPOSITORY@REVISION | path:FOLDER."""

    PARTS: ClassVar[tuple[str, ...]] = ()
    """Fields that are models themselves, with their own weights."""
    EXPORTS: ClassVar[tuple[str, ...]] = ("model.onnx", "model.int8.onnx")
    """Outputs of the export stage."""
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Keys with a fixed set of values."""
    POSITIVE: ClassVar[tuple[str, ...]] = ()
    """Keys whose value is at least 1."""

    @property
    def frozen(self) -> bool:
        """Whether a part of the model is frozen, so that its outputs for every sample can be computed once."""
        return False

    def starts_from(self) -> list[str]:
        """Return the initial weights of the model and its parts."""
        own = [self.weights, *(spec for part in self.PARTS for spec in getattr(self, part).starts_from())]
        return [spec for spec in own if spec != "none"]


def kinds() -> list[str]:
    """Return the names of the modules of this package."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def model_type(kind: object) -> type[Model]:
    """Return the dataclass of a kind. Raises BitBloomError for an unknown kind."""
    if kind not in kinds():
        raise BitBloomError(f"model.kind '{kind}' is none of {', '.join(kinds())}")
    found: type[Model] = getattr(importlib.import_module(f"{__name__}.{kind}"), f"{str(kind).capitalize()}Model")
    return found


def typed_model(section: Mapping[str, Any]) -> Model:
    """Convert a `model` section to the type of its `kind`. Raises BitBloomError for an unknown kind."""
    typed = OmegaConf.merge(OmegaConf.structured(model_type(section.get("kind"))), dict(section))
    found = OmegaConf.to_object(typed)
    assert isinstance(found, Model)
    return found
