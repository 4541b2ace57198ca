"""The evaluation of a classifier of images or texts: metrics, baselines, figures and tables.

A task's `evaluate` is one line:

    return classification.evaluate(outputs, dataset, history, config, temperature)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.contracts import Evaluation
from bitbloom.evaluation import metrics
from bitbloom.evaluation.report import photos, plots
from bitbloom.evaluation.report.content import GAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.data.dataset import Dataset

Figures = dict[str, tuple[str, "Figure"]]

OTHER, OTHER_WRONG = "(other classes)", "(other classes, wrong)"
"""Names in the table of a confusion matrix of many classes."""


def evaluate(
    logits: metrics.Logits,
    dataset: Dataset,
    history: Mapping[str, Any],
    config: Evaluate,
    temperature: float,
    text: str | None = None,
) -> Evaluation:
    """Evaluate the logits [n, K] of the test split, its included samples in the order of `dataset.split("test")`.

    `temperature` divides the logits. The metrics also have the calibration error without it.

    `dataset.arrays` holds `labels` [N]; with `images` uint8 [N, 3, S, S] the evaluation has sheets of photos and a
    colour baseline. `text` names the column of `dataset.samples` to show with mistakes on texts. `meta["classes"]` names
    the K classes.

    Raises:
        BitBloomError: no test samples, or logits and labels that do not fit each other.
    """
    test = dataset.split("test")
    classes: list[str] = dataset.meta["classes"]
    labels = np.asarray(dataset.arrays["labels"])[test]
    predictions, raw = metrics.compare(logits / temperature, labels), metrics.compare(logits, labels)
    found = metrics.classification(predictions, classes, config.bootstrap, config.calibration_bins)
    before = metrics.calibration_error(raw.confidence, raw.correct, config.calibration_bins)
    found["temperature"], found["uncalibrated_error"] = temperature, metrics.rounded(before)
    found["baselines"] = metrics.rounded(_baselines(dataset, predictions))
    wrong = worst(predictions, dataset.samples["id"].to_numpy()[test], config.worst)
    figures, narrow = (_figures(dataset, predictions, history, config, wrong, narrow) for narrow in (False, True))
    caption, figure = figures["reliability"]
    figures["reliability"] = (f"{caption} {_calibrated(found)}", figure)
    tables = _tables(predictions, classes, config)
    tables["mistakes"] = _mistake_rows(dataset, predictions, wrong, text)
    return Evaluation(found, figures, tables, {stem: figure for stem, (_, figure) in narrow.items()})


def _figures(
    dataset: Dataset,
    predictions: metrics.Predictions,
    history: Mapping[str, Any],
    config: Evaluate,
    wrong: Sequence[int],
    narrow: bool,
) -> Figures:
    """All figures, for wide or for narrow windows."""
    figures = charts(predictions, dataset.meta["classes"], history, config, narrow)
    if "images" not in dataset.arrays:
        return figures
    mistakes = _mistakes(dataset, predictions, wrong, narrow)
    return {"contact_sheet": _contact_sheet(dataset, narrow)} | figures | {"mistakes": mistakes}


def _calibrated(found: Mapping[str, Any]) -> str:
    return (
        f"The temperature {found['temperature']}, chosen on the validation split, divides the logits: "
        f"without it the error would be {found['uncalibrated_error']:.3f}."
    )


def worst(predictions: metrics.Predictions, ids: NDArray[Any], most: int) -> list[int]:
    """Positions of the mistakes in the test split, the most confident first, ties by id."""
    wrong = np.flatnonzero(~predictions.correct).tolist()
    return sorted(wrong, key=lambda i: (-metrics.rounded(float(predictions.confidence[i])), ids[i]))[:most]


def charts(
    predictions: metrics.Predictions,
    classes: Sequence[str],
    history: Mapping[str, Any],
    config: Evaluate,
    narrow: bool = False,
) -> Figures:
    """The figures that every classifier has, for wide or for narrow windows."""
    rows = metrics.calibration(predictions.confidence, predictions.correct, config.calibration_bins)
    error = metrics.calibration_error(predictions.confidence, predictions.correct, config.calibration_bins)
    figures: Figures = {}
    if history.get("epochs"):
        figures["curves"] = (plots.curves_caption(history), plots.curves(history, narrow))
    figures["confusion"] = _confusion(predictions, classes, narrow)
    caption = "Recall (bar) and precision (dot) of each class. Worst first."
    if len(classes) > plots.MANY:
        caption = f"Recall (bar) and precision (dot) of the worst of {len(classes):,} classes. Worst first."
    figures["recall"] = (caption, plots.recall(metrics.per_class(predictions.labels, predictions.predicted, classes), narrow))
    caption = (
        "Accuracy of the predictions by their confidence. A well calibrated model stays on the diagonal. "
        f"The expected calibration error is the {GAP}."
    )
    figures["reliability"] = (caption, plots.reliability(rows, error, narrow))
    return figures


def _confusion(predictions: metrics.Predictions, classes: Sequence[str], narrow: bool) -> tuple[str, Figure]:
    """The confusion matrix; for many classes the pairs that are confused most often."""
    if len(classes) > metrics.MATRIX:
        pairs = _pairs(predictions, classes)
        caption = (
            f"The most frequent mistakes, actual → predicted: {min(plots.WORST, len(pairs))} "
            f"of {len(pairs):,} confused pairs of {len(classes):,} classes."
        )
        return caption, plots.confusions(pairs, narrow)
    caption = "Rows are the true classes, columns the predicted ones; colour is the fraction of a row. Green is correct."
    counts = metrics.confusion(predictions.labels, predictions.predicted, len(classes))
    return caption, plots.confusion(counts, classes, narrow)


def _pairs(predictions: metrics.Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the confused pairs, the most frequent first."""
    found = metrics.confused(predictions.labels, predictions.predicted)
    return [{"actual": classes[i], "predicted": classes[j], "count": count} for i, j, count in found]


def _contact_sheet(dataset: Dataset, narrow: bool) -> tuple[str, Figure]:
    """Some training photos of each class, chosen by their key. The key is a hash, so the choice is random but fixed."""
    classes: list[str] = dataset.meta["classes"]
    train, images, keys = dataset.split("train"), dataset.arrays["images"], dataset.samples["key"].to_numpy()
    labels = np.asarray(dataset.arrays["labels"])[train]
    shown = np.unique(np.linspace(0, len(classes) - 1, min(len(classes), photos.MOST_CLASSES)).astype(np.int64))
    own = {classes[i]: sorted(train[labels == i].tolist(), key=lambda position: keys[position]) for i in shown.tolist()}
    most = photos.per_class(len(shown))
    strips = {name: [images[position] for position in positions[:most]] for name, positions in own.items()}
    caption = "Samples of each class of the training split, with their number."
    if len(shown) < len(classes):
        caption = f"Samples of {len(shown)} of the {len(classes):,} classes of the training split, with their number."
    return caption, photos.contact_sheet(strips, {name: len(positions) for name, positions in own.items()}, narrow)


def _mistakes(dataset: Dataset, predictions: metrics.Predictions, wrong: Sequence[int], narrow: bool) -> tuple[str, Figure]:
    classes, images, test = dataset.meta["classes"], dataset.arrays["images"], dataset.split("test")
    found = [
        photos.Mistake(
            images[test[i]], classes[predictions.labels[i]], classes[predictions.predicted[i]], float(predictions.confidence[i])
        )
        for i in wrong
    ]
    caption = "The mistakes made with most confidence: the true class, then the predicted one and its probability."
    return caption, photos.mistakes(found, narrow)


def _baselines(dataset: Dataset, predictions: metrics.Predictions) -> dict[str, dict[str, float]]:
    """Baselines that use neither shapes nor words: the most frequent class, and for images the nearest mean colour."""
    train, test, k = dataset.split("train"), dataset.split("test"), predictions.classes
    known = np.asarray(dataset.arrays["labels"])[train]
    rules = {"majority_class": metrics.majority(known, len(test), k)}
    if "images" in dataset.arrays and len(train):
        colours = [metrics.mean_colours(dataset.arrays["images"], positions) for positions in (train, test)]
        rules["nearest_mean_colour"] = metrics.nearest_mean(colours[0], known, colours[1], k)
    return {name: metrics.baseline(predictions.labels, predicted, k) for name, predicted in rules.items()}


def _tables(predictions: metrics.Predictions, classes: Sequence[str], config: Evaluate) -> dict[str, list[dict[str, Any]]]:
    """Rows for `dvc plots`: the predictions, the bins of the reliability diagram, the classes, the pairs confused most often."""
    labels, predicted = predictions.labels, predictions.predicted
    rows = [{"actual": classes[i], "predicted": classes[j]} for i, j in zip(labels, predicted, strict=True)]
    # A plot of the table has a cell for each pair of names.
    matrix = {"confusion": rows} if len(classes) <= metrics.MATRIX else {"confusion": _merged(rows), "predictions": rows}
    return matrix | {
        "confused_pairs": _pairs(predictions, classes),
        "per_class": metrics.rounded(metrics.per_class(labels, predicted, classes)),
        "reliability": metrics.rounded(metrics.calibration(predictions.confidence, predictions.correct, config.calibration_bins)),
    }


def _merged(rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """The rows with the names of the most confused classes only. The others have one name, and mistakes among them another."""
    mistakes = Counter(name for row in rows if row["actual"] != row["predicted"] for name in row.values())
    kept = {name for name, _ in sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[: metrics.MATRIX - 2]}
    merged = []
    for row in rows:
        actual, predicted = (name if name in kept else OTHER for name in (row["actual"], row["predicted"]))
        missed = row["actual"] != row["predicted"] and actual == predicted
        merged.append({"actual": actual, "predicted": OTHER_WRONG if missed else predicted})
    return merged


def _mistake_rows(
    dataset: Dataset, predictions: metrics.Predictions, wrong: Sequence[int], text: str | None
) -> list[dict[str, Any]]:
    test, classes = dataset.split("test"), dataset.meta["classes"]
    rows = []
    for i in wrong:
        sample = dataset.samples.iloc[int(test[i])]
        row = {
            "id": str(sample["id"]),
            "actual": classes[predictions.labels[i]],
            "predicted": classes[predictions.predicted[i]],
            "confidence": metrics.rounded(float(predictions.confidence[i])),
        }
        rows.append(row | ({"text": str(sample[text])} if text else {}))
    return rows
