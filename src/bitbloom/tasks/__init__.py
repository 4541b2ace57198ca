"""The tasks: one folder each, whose modules `bitbloom.contracts` describes. Stages load them by name and name none.

A stage declares the modules that it loads in `PARTS`: the build graph takes its dependencies from there.
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
    """The folders of this package, sorted."""
    return sorted(path.name for path in FOLDER.iterdir() if any(path.glob("*.py")))


def samples(task: str) -> Samples:
    """What a sample of a task is."""
    return cast("Samples", part(task, "samples"))


def model(task: str) -> TaskModel:
    """The learning side of a task."""
    return cast("TaskModel", part(task, "model"))


def evaluator(task: str) -> Evaluator:
    """How a task is measured."""
    return cast("Evaluator", part(task, "evaluate"))


def exporter(task: str) -> Exporter:
    """What of a task is exported."""
    return cast("Exporter", part(task, "export"))


def part(task: str, module: str) -> Any:
    """One module of a task. Raises BitBloomError when there is no such task, or it has no such module."""
    name = f"{__name__}.{task}.{module}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (name, f"{__name__}.{task}"):
            raise
        where = f"{FOLDER.name}/{task}/{module}.py"
        raise BitBloomError(f"there is no {where}: tasks are {', '.join(names())}") from error
