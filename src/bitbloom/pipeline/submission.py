"""A competition's submission, for a task that has a `submission.py`.

make submission TARGET=tweets-kaggle      # → reports/tweets-kaggle/submission.csv
make submission TARGET=petals-104         # → reports/petals-104/submission.csv

A module has `IMPORTED`, the name of the file or folder of samples without labels, and `write`.
"""

from __future__ import annotations

from pathlib import Path

from bitbloom import tasks
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph


def write(target: str, given: Path | None = None) -> Path:
    """Predict every sample of a file or folder with the exported model of a target.

    The default is the one imported with its data, or drawn with it.

    Returns:
        the written file.

    Raises:
        BitBloomError: the task has no submission, or the samples or the model are missing.
    """
    tree = composition.compose(target)
    competition = tasks.part(tree.task, "submission")
    path = Path("reports") / target / "submission.csv"
    folders = [*graph.external(tree), f"data/raw/{target}"]
    competition.write(Path("models") / target, given or _imported(target, folders, competition.IMPORTED), path, tree.source)
    return path


def _imported(target: str, folders: list[str], name: str) -> Path:
    for folder in folders:
        if (Path(folder) / name).exists():
            return Path(folder) / name
    raise BitBloomError(f"no {name} was imported for {target}: give it, or import a folder that has it")
