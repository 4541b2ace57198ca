"""How a task's test outputs are judged and shown: one module a task, apart from the task itself.

Only the evaluate stage loads them, so that a change of a figure never retrains a model.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitbloom.inference import Trained
    from bitbloom.schema import Evaluate


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: numbers, pictures, and the samples worth looking at."""

    metrics: dict[str, Any]
    figures: dict[str, tuple[str, Figure]]
    """File stem → (caption, figure), in the order of the report."""
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """File stem → rows, written as JSON for `dvc plots`."""


class Judge(Protocol):
    """What a module of this package offers."""

    def evaluate(self, trained: Trained, history: dict[str, Any], config: Evaluate) -> Evaluation:
        """Metrics, figures and tables of what a trained network says of the test split."""
        ...


def load(task: str) -> Judge:
    """The judge of a task."""
    return cast(Judge, importlib.import_module(f"{__name__}.{task}"))
