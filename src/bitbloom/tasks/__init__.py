"""The tasks: one folder each, with the modules that `bitbloom.contracts` describes. Stages load them by name.

A stage declares the modules that it loads in `PARTS`, from which the build graph takes its dependencies.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.contracts import Evaluator, Exporter, Samples, TaskModel

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the folders of this package, sorted."""
    return sorted(path.name for path in FOLDER.iterdir() if any(path.glob("*.py")))


def samples(task: str) -> Samples:
    """Load the samples module of a task."""
    return cast("Samples", part(task, "samples"))


def model(task: str) -> TaskModel:
    """Load the model module of a task."""
    return cast("TaskModel", part(task, "model"))


def evaluator(task: str) -> Evaluator:
    """Load the evaluator of a task."""
    return cast("Evaluator", part(task, "evaluate"))


def exporter(task: str) -> Exporter:
    """Load the exporter of a task."""
    return cast("Exporter", part(task, "export"))


def part(task: str, module: str) -> Any:
    """Load a module of a task. Raises BitBloomError if the task or the module does not exist."""
    name = f"{__name__}.{task}.{module}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (name, f"{__name__}.{task}"):
            raise
        where = f"{FOLDER.name}/{task}/{module}.py"
        raise BitBloomError(f"there is no {where}: tasks are {', '.join(names())}") from error
