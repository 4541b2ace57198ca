"""A competition's submission, for a task that has a `submission.py`.

make submission TARGET=tweets-kaggle      # → reports/tweets-kaggle/submission.csv
"""

from __future__ import annotations

from pathlib import Path

from bitbloom import tasks
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph


def write(target: str, file: Path | None = None) -> Path:
    """Predict every row of a file with the exported model of a target. The default is the file imported with its data.

    Returns:
        the written file.

    Raises:
        BitBloomError: the task has no submission, or the file or the model is missing.
    """
    tree = composition.compose(target)
    competition = tasks.part(tree.task, "submission")
    path = Path("reports") / target / "submission.csv"
    competition.write(Path("models") / target, file or _imported(target, graph.external(tree), competition.IMPORTED), path)
    return path


def _imported(target: str, folders: list[str], name: str) -> Path:
    for folder in folders:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise BitBloomError(f"no {name} was imported for {target}: give the file, or import a folder that has it")
