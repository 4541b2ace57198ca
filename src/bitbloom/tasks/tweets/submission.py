"""Kaggle's submission: predictions for the unlabelled rows, in the columns of the competition."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources.tweets_csv import LABELS, UNLABELLED
from bitbloom.serving import rows
from bitbloom.serving.text_predictor import TextPredictor

TARGETS = {label: target for target, label in LABELS.items()}
"""Label → value of the column `target`."""
IMPORTED = UNLABELLED
"""The imported file of rows without labels."""


def write(models: Path, file: Path, destination: Path, source: Mapping[str, Any]) -> None:
    """Predict every row of a CSV file with the exported model in a folder, and write columns id and target to `destination`.

    Rows that are empty after cleaning get 0, because Kaggle requires every id. The `source` section has no part in it.

    Raises:
        BitBloomError: the file or the model is missing, or the model's labels are not those of the competition.
    """
    predictor = TextPredictor.open(models)
    if set(predictor.classes) != set(TARGETS):
        raise BitBloomError(f"the labels of {models} are {', '.join(predictor.classes)}: a submission needs {', '.join(TARGETS)}")
    found = []
    for row in rows.read(file):
        label = predictor.label(row.text, row.keyword, row.location)
        found.append((row.id, TARGETS[label["label"]] if label else "0"))
    with canonical.replacing(destination) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("id", "target"), *found])
