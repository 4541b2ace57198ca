"""Kaggle's submission: the predictions for its unlabelled rows, in the columns that the competition asks for."""

from __future__ import annotations

import csv
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources.tweets_csv import LABELS, UNLABELLED
from bitbloom.serving import rows
from bitbloom.serving.text_predictor import TextPredictor

TARGETS = {label: target for target, label in LABELS.items()}
"""Label → what the column `target` holds."""
IMPORTED = UNLABELLED
"""The file of rows without labels that is imported with the training data."""


def write(models: Path, file: Path, place: Path) -> None:
    """Predict every row of a CSV file with the exported model in a folder, and write columns id and target to `place`.

    A row of which cleaning leaves nothing is 0, since Kaggle wants every id.

    Raises:
        BitBloomError: there is no such file or model, or the model's labels are not those of the competition.
    """
    predictor = TextPredictor.open(models)
    if set(predictor.classes) != set(TARGETS):
        raise BitBloomError(f"the labels of {models} are {', '.join(predictor.classes)}: a submission takes {', '.join(TARGETS)}")
    found = []
    for row in rows.read(file):
        label = predictor.label(row.text, row.keyword, row.location)
        found.append((row.id, TARGETS[label["label"]] if label else "0"))
    with canonical.replacing(place) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("id", "target"), *found])
