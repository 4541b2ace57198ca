"""What is exported of a trained network, and how it is held against it: one module a task, apart from the task itself.

Only the export stage loads them, so that a change of an exported graph never retrains a model.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from bitbloom.inference import Trained
    from bitbloom.schema import Export


@dataclass(frozen=True)
class Parity:
    """Whether what was exported says what the network says.

    Attributes:
        verdict: `parity.json`: counts and verdicts that are the same on every CPU, although what ONNX Runtime computes is not.
        measured: the differences themselves and what int8 costs, for `run.json`, which is not hashed.
        wrong: what is not as the network says, in words; empty when all is well.
    """

    verdict: dict[str, Any]
    measured: dict[str, Any]
    wrong: str


class Exporter(Protocol):
    """What a module of this package offers."""

    def export(self, trained: Trained, config: Export, folder: Path) -> Parity:
        """Write the files that the model's `EXPORTS` names to `folder`, and compare them with the network on the test split."""
        ...


def load(task: str) -> Exporter:
    """The exporter of a task."""
    return cast(Exporter, importlib.import_module(f"{__name__}.{task}"))
