"""A competition's submission: the answers to its unlabelled rows, in the columns that Kaggle wants.

make submission TARGET=tweets-kaggle      # → reports/tweets-kaggle/submission.csv
"""

from __future__ import annotations

import csv
from pathlib import Path

from bitbloom import canonical, config, graph
from bitbloom.errors import BitBloomError
from bitbloom.serving import rows
from bitbloom.serving.text_predictor import TextPredictor
from bitbloom.sources.tweets_csv import LABELS, UNLABELLED

TARGETS = {label: target for target, label in LABELS.items()}
"""Label → what the column `target` holds."""


def write(target: str, file: Path | None = None) -> Path:
    """Answer every row of a CSV file with the exported model of a target; without `file`, of the imported `test.csv`.

    A row of which cleaning leaves nothing is answered 0, since Kaggle wants every id.

    Returns:
        the file written, with columns id and target.

    Raises:
        BitBloomError: there is no such file or model, or the model's labels are not those of the competition.
    """
    predictor = TextPredictor.open(Path("models") / target)
    if set(predictor.classes) != set(TARGETS):
        raise BitBloomError(f"{target} answers {', '.join(predictor.classes)}: a submission takes {', '.join(TARGETS)}")
    answers = []
    for row in rows.read(file or _unlabelled(target)):
        found = predictor.label(row.text, row.keyword, row.location)
        answers.append((row.id, TARGETS[found["label"]] if found else "0"))
    place = Path("reports") / target / "submission.csv"
    with canonical.replacing(place) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("id", "target"), *answers])
    return place


def _unlabelled(target: str) -> Path:
    """The rows without labels that were imported with the training data."""
    for place in graph.external(config.compose(target)):
        if (Path(place) / UNLABELLED).is_file():
            return Path(place) / UNLABELLED
    raise BitBloomError(
        f"no {UNLABELLED} was imported for {target}: give the file, or import a folder that has it (TWEETS=folder)"
    )
