"""Evaluation of a classifier of many classes: its memory, figures and tables are bounded, and stay legible."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bitbloom.config.sections.evaluate import Evaluate
from bitbloom.data.dataset import Dataset
from bitbloom.evaluation import calibration, classification, metrics
from bitbloom.evaluation.report import card, content, html, photos, plots, style
from bitbloom.evaluation.report.content import Content, Picture

LEGIBLE_AT_400 = 9
"""Smallest letters in a figure of 400 CSS pixels, CSS pixels."""
TALLEST = 3000  # pixels
GIGABYTES = 2.0
PROGRAM = """
import resource, sys
from model import test_many_classes as many
many.render(many.evaluated(int(sys.argv[1]), int(sys.argv[2])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def dataset(classes: int, each: int) -> Dataset:
    """Return random photos: of `each` per class, the first two are for training and the others for the test."""
    n = classes * each
    labels, numbers = np.repeat(np.arange(classes), each), np.tile(np.arange(each), classes)
    names = [f"species {number:05}" for number in range(classes)]
    ids = [f"{names[label]}/{number}.jpg" for label, number in zip(labels, numbers, strict=True)]
    columns = {
        "id": ids,
        "label": [names[label] for label in labels],
        "key": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        "split": np.where(numbers < 2, "train", "test"),
        "excluded": [False] * n,
    }
    images = np.random.default_rng(7).integers(0, 256, (n, 3, 8, 8)).astype(np.uint8)
    return Dataset({"images": images, "labels": labels}, pd.DataFrame(columns), {"classes": names})


def logits(data: Dataset) -> np.ndarray:
    """Return logits float32 [n, K]: most samples of a class are taken for the next class, and the last class is never right."""
    labels = data.arrays["labels"][data.split("test")]
    classes = len(data.meta["classes"])
    found = np.zeros((len(labels), classes), np.float32)
    predicted = np.where(np.arange(len(labels)) % 3, (labels + 1) % classes, labels)
    found[np.arange(len(labels)), predicted] = np.linspace(1, 9, len(labels))
    return found


@functools.cache
def evaluated(classes: int, each: int = 5) -> classification.Evaluation:
    data = dataset(classes, each)
    scores = logits(data)
    temperature = calibration.best(scores, data.arrays["labels"][data.split("test")])
    return classification.evaluate(scores, data, {}, Evaluate(bootstrap=100), temperature)


def render(found: classification.Evaluation) -> tuple[str, str, list[Picture]]:
    """Return the HTML report, the model card and the written figures."""
    pictures = [
        Picture(stem, caption, figure.get_label(), style.png(figure)) for stem, (caption, figure) in found.figures.items()
    ]
    model = {"architecture": "x", "weights": "none"}
    shown = Content("many", "petals", "", "folder", "portable", found.metrics, pictures, found.tables, {}, model, {})
    return html.render(shown), card.render(shown), pictures


@pytest.mark.parametrize("classes", [104, 400])
def test_figures_are_legible(classes: int) -> None:
    _, _, pictures = render(evaluated(classes))
    for picture in pictures:
        assert max(picture.size) < TALLEST, picture.stem


@pytest.mark.parametrize("pairs", [0, 1, plots.WORST, 1000])
def test_confused_pairs_are_legible_at_400_pixels(pairs: int) -> None:
    rows = [{"actual": "Epilobium hirsutum L. " * 3, "predicted": "$x$", "count": 1 + number} for number in range(pairs)]
    figure = plots.confusions(rows[::-1])
    assert style.png(figure)
    scale = min(1.0, 400 / (figure.get_figwidth() * html.CSS_PER_INCH)) * html.CSS_PER_INCH / 72
    labels = figure.axes[0].get_yticklabels() + list(figure.axes[0].texts)
    assert min(label.get_fontsize() for label in labels) * scale >= LEGIBLE_AT_400
    assert len(figure.axes[0].get_yticklabels()) == min(pairs, plots.WORST)


def test_confused_pairs_are_sorted_by_count() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 1, 2, 0, 1, 2])
    assert metrics.confused(labels, predicted) == [(0, 1, 2), (0, 2, 1), (1, 0, 1)]
    assert metrics.confused(labels, labels) == []


@pytest.mark.parametrize(("classes", "matrix"), [(metrics.MATRIX, True), (metrics.MATRIX + 1, False)])
def test_confusion_matrix_is_for_few_classes(classes: int, matrix: bool) -> None:
    found = evaluated(classes)
    assert ("confusion" in found.metrics) == matrix
    assert ("predictions" in found.tables) != matrix
    assert ("Green is correct" in found.figures["confusion"][0]) == matrix


def test_confusion_table_of_many_classes_has_few_names_and_keeps_the_accuracy() -> None:
    found = evaluated(200)
    rows, whole = found.tables["confusion"], found.tables["predictions"]
    assert len(rows) == len(whole) == found.metrics["samples"]
    assert len({name for row in rows for name in row.values()}) <= metrics.MATRIX
    for row, same in zip(rows, whole, strict=True):
        assert (row["actual"] == row["predicted"]) == (same["actual"] == same["predicted"])


def test_recall_shows_worst_classes_with_test_samples() -> None:
    rows = [{"class": f"{i:03}", "recall": i / 200, "precision": 0.5, "support": i % 4} for i in range(200)]
    names = [label.get_text() for label in plots.recall(rows).axes[0].get_yticklabels()]
    assert len(names) == plots.WORST
    assert names[:4] == ["001", "002", "003", "005"]


def test_contact_sheet_shows_some_of_many_classes() -> None:
    caption, figure = classification._contact_sheet(dataset(photos.MOST_CLASSES * 3, 2), narrow=False)
    assert f"{photos.MOST_CLASSES} of the {photos.MOST_CLASSES * 3}" in caption
    assert figure.get_figheight() * style.DPI < TALLEST


def test_sheet_of_mistakes_is_bounded() -> None:
    mistake = photos.Mistake(np.zeros((3, 8, 8), np.uint8), "a", "b", 0.5)
    assert photos.mistakes([mistake] * 5000).get_figheight() * style.DPI < TALLEST


def test_report_and_card_list_some_of_many_classes() -> None:
    page, text, _ = render(evaluated(400))
    for shown in (page, text):
        assert "280" in shown
        assert "per_class.json" in shown
        assert len({name for name in (f"species {i:05}" for i in range(400)) if name in shown}) <= 2 * content.LISTED + 60
    assert "and 280 more." in text


def test_report_and_card_list_all_of_few_classes() -> None:
    for shown in render(evaluated(104))[:2]:
        assert "per_class.json" not in shown
        assert all(f"species {i:05}" in shown for i in range(104))


@pytest.mark.slow
def test_evaluation_of_5000_classes_fits_in_memory() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parents[1])])}
    command = [sys.executable, "-c", PROGRAM, "5000", "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) < GIGABYTES
