"""Metrics of a classifier: accuracy, F1, log loss, calibration, bootstrap intervals, baselines.

    found = classification(compare(logits, labels), classes, bootstrap=1000, bins=10)   # all numbers

Equal inputs give equal numbers on every CPU. The only transcendental function is PyTorch's `log_softmax`, which the
portable profile pins; the rest is integer counting and IEEE arithmetic (+ - * / and square roots are the same
everywhere, NumPy's `exp` and `log` are not). scikit-learn counts, and divides one count by another, which has one correctly
rounded result. This module adds floats itself, with `math.fsum`: it is exact, so the order does not matter. Written numbers
keep DIGITS digits, which hides a difference in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    import torch

    Logits = torch.Tensor | NDArray[np.floating[Any]]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

DIGITS = 6
"""Significant digits of every written number: far more than any test split can resolve."""
BOOTSTRAP_SEED = 20_260
"""Seed of the bootstrap's PCG64. It is not configurable, so that an interval cannot be selected."""
INTERVAL = (0.025, 0.975)
CHUNK = 4_000_000
"""Bootstrap draws held in memory at a time."""
LOGITS = 1_000_000
"""Logits compared at a time, in float64."""
MATRIX = 30
"""Largest number of classes with a confusion matrix: a larger one is not legible, and its size grows with the square."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of a classifier for n samples of K classes, in integers and float64.

    Attributes:
        classes: K.
        labels: [n] the true class.
        predicted: [n] the class with the largest logit, the first of equals.
        rank: [n] number of classes that rank before the true one; 0 is a correct prediction.
        confidence: [n] probability of the predicted class.
        loss: [n] negative log likelihood of the true class.
    """

    classes: int
    labels: Integers
    predicted: Integers
    rank: Integers
    confidence: Floats
    loss: Floats

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[n] whether the prediction is the label."""
        return np.equal(self.predicted, self.labels)


def compare(logits: Logits, labels: NDArray[Any], temperature: float = 1.0) -> Predictions:
    """Compare logits [n, K] (float), divided by a temperature, with labels [n] (integers in 0…K-1).

    Raises:
        BitBloomError: shapes that do not fit, no samples, labels out of range, or logits that are not finite.
    """
    import torch

    scores = torch.as_tensor(logits).detach().cpu()
    truth = np.asarray(labels, dtype=np.int64)
    if scores.ndim != 2 or truth.shape != (len(scores),) or len(scores) == 0:
        raise BitBloomError(
            f"evaluation needs logits [n, classes] and labels [n], n > 0: got {tuple(scores.shape)} and {truth.shape}"
        )
    if truth.min() < 0 or truth.max() >= scores.shape[1]:
        raise BitBloomError(f"a label is outside 0…{scores.shape[1] - 1}: the model and the data do not have the same classes")
    whole, real = (np.zeros((2, len(truth)), kind) for kind in (np.int64, np.float64))
    found = Predictions(scores.shape[1], truth, *whole, *real)
    rows = max(1, LOGITS // scores.shape[1])
    for part in (slice(start, start + rows) for start in range(0, len(truth), rows)):
        columns = _compared(scores[part] / temperature, truth[part])
        found.predicted[part], found.rank[part], found.confidence[part], found.loss[part] = columns
    return found


def _compared(scores: torch.Tensor, truth: Integers) -> tuple[Integers, Integers, Floats, Floats]:
    """Predicted class, rank of the true class, confidence and loss [n] of logits [n, K]. Each row depends on its logits only."""
    import torch

    if not bool(torch.isfinite(scores).all()):
        raise BitBloomError("the model's outputs hold NaN or infinity: training diverged, lower train.learning_rate")
    logarithms = torch.log_softmax(scores.double(), dim=1)  # [n, K]
    values = scores.double().numpy()
    rows = np.arange(len(truth))
    predicted = values.argmax(axis=1).astype(np.int64)
    own = values[rows, truth][:, None]
    before = (values > own) | ((values == own) & (np.arange(values.shape[1]) < truth[:, None]))
    confidence = torch.exp(logarithms.max(dim=1).values)
    loss = -logarithms[torch.from_numpy(rows), torch.from_numpy(truth)]
    return predicted, before.sum(axis=1), confidence.numpy(), loss.numpy()


def classification(predictions: Predictions, classes: Sequence[str], bootstrap: int, bins: int) -> dict[str, Any]:
    """All numbers of a classifier, floats rounded to DIGITS, without baselines; a confusion matrix of up to MATRIX classes.

    Raises:
        BitBloomError: the number of names is not the number of classes.
    """
    if len(classes) != predictions.classes:
        raise BitBloomError(f"the model has {predictions.classes} outputs, the data {len(classes)} classes")
    labels, predicted, k = predictions.labels, predictions.predicted, predictions.classes
    found = {
        "accuracy": _mean(predictions.correct),
        "top5_accuracy": _mean(predictions.rank < min(5, predictions.classes)),
        "macro_f1": macro_f1(labels, predicted, k),
        "log_loss": _mean(predictions.loss),
        "expected_calibration_error": calibration_error(predictions.confidence, predictions.correct, bins),
        "samples": len(predictions.labels),
        "per_class": {row.pop("class"): row for row in per_class(labels, predicted, classes)},
        "confidence_intervals": intervals(predictions, bootstrap),
    }
    if k <= MATRIX:
        found["confusion"] = confusion(labels, predicted, k).tolist()
    rounded_found: dict[str, Any] = rounded(found)
    return rounded_found


def confusion(labels: Integers, predicted: Integers, classes: int) -> Integers:
    """[K, K] counts: the row is the true class, the column the predicted one."""
    from sklearn.metrics import confusion_matrix

    counts: Integers = confusion_matrix(labels, predicted, labels=np.arange(classes))
    return counts


def confused(labels: Integers, predicted: Integers) -> list[tuple[int, int, int]]:
    """Pairs of a true class and another predicted one, with their number of samples: the most frequent first, then by class."""
    wrong = np.stack([labels, predicted], axis=1)[labels != predicted]
    pairs, counts = np.unique(wrong, axis=0, return_counts=True)
    found = [(actual, named, count) for (actual, named), count in zip(pairs.tolist(), counts.tolist(), strict=True)]
    return sorted(found, key=lambda pair: (-pair[2], pair))


def per_class(labels: Integers, predicted: Integers, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class; 0 for a division by 0."""
    columns = [column.tolist() for column in _scores(labels, predicted, len(classes))]
    return [
        {"class": name, "precision": precision, "recall": recall, "f1": f1, "support": int(support)}
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    ]


def macro_f1(labels: Integers, predicted: Integers, classes: int) -> float:
    """Mean F1 over the classes that occur, as a label or as a prediction (the convention of scikit-learn)."""
    _, _, f1, _ = _scores(labels, predicted, classes)
    return _mean(f1[np.union1d(labels, predicted)])


def calibration(confidence: Floats, correct: NDArray[np.bool_], bins: int) -> list[dict[str, Any]]:
    """One row a bin of equal width: `low`, `high`, `count`, and mean `confidence` and `accuracy` (null when empty)."""
    positions = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = []
    for i in range(bins):
        inside = positions == i
        filled = bool(inside.any())
        rows.append(
            {
                "low": i / bins,
                "high": (i + 1) / bins,
                "count": int(inside.sum()),
                "confidence": _mean(confidence[inside]) if filled else None,
                "accuracy": _mean(correct[inside]) if filled else None,
            }
        )
    return rows


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599): |accuracy - confidence| of a sample's bin, on average."""
    rows = [row for row in calibration(confidence, correct, bins) if row["count"]]
    return math.fsum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / len(confidence)


def intervals(predictions: Predictions, resamples: int) -> dict[str, list[float]]:
    """95 % percentile bootstrap intervals of accuracy and macro F1. Empty when `resamples` is 0.

    The pairs are sorted first, so that the order of the samples does not matter; draws are integers.
    """
    if resamples < 1:
        return {}
    n, k = len(predictions.labels), predictions.classes
    pairs = np.sort(predictions.labels * k + predictions.predicted)
    labels, predicted = pairs // k, pairs % k
    generator = np.random.Generator(np.random.PCG64(BOOTSTRAP_SEED))
    accuracy, f1 = [], []
    most = max(1, CHUNK // max(n, k))
    for start in range(0, resamples, most):
        size = min(most, resamples - start)
        drawn = generator.integers(0, n, size=(size, n))
        hits = _class_counts(labels[drawn], k, labels[drawn] == predicted[drawn])
        seen = _class_counts(labels[drawn], k) + _class_counts(predicted[drawn], k)
        accuracy += [count / n for count in hits.sum(axis=1).tolist()]
        f1 += [_mean(_ratio(2 * hits[i], seen[i])[seen[i] > 0]) for i in range(size)]
    return {"accuracy": percentiles(accuracy), "macro_f1": percentiles(f1)}


def baseline(labels: Integers, predicted: Integers, classes: int) -> dict[str, float]:
    """Accuracy and macro F1 of a rule that needs no training, to compare a model with."""
    return {"accuracy": _mean(labels == predicted), "macro_f1": macro_f1(labels, predicted, classes)}


def majority(train_labels: Integers, n: int, classes: int) -> Integers:
    """[n] The most frequent class of the training split, the first of equals."""
    return np.full(n, np.bincount(train_labels, minlength=classes).argmax(), dtype=np.int64)


def mean_colours(images: NDArray[np.uint8], positions: Integers) -> Floats:
    """[n, 3] The mean of each channel (0…255) of some of the images [N, 3, H, W]: integer sums, one division."""
    sums = [images[position].reshape(3, -1).sum(axis=1, dtype=np.int64) for position in positions]
    means: Floats = np.array(sums, dtype=np.int64).reshape(-1, 3) / (images.shape[2] * images.shape[3])
    return means


def nearest_mean(train: Floats, train_labels: Integers, test: Floats, classes: int) -> Integers:
    """[n] The class whose mean training vector is nearest to each test vector [n, d], among classes with training samples."""
    nearest, least = np.zeros(len(test), dtype=np.int64), np.full(len(test), np.inf)
    for label in np.unique(train_labels):
        own = train[train_labels == label]
        mean = [math.fsum(column) / len(own) for column in own.T]
        distance: Floats = sum((np.square(test[:, i] - mean[i]) for i in range(len(mean))), np.zeros(len(test)))
        nearer = distance < least
        nearest[nearer], least[nearer] = label, distance[nearer]
    return nearest


def rounded(value: Any) -> Any:
    """The same value with floats cut to DIGITS significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") + 0.0  # + 0.0 makes -0.0 positive
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _scores(labels: Integers, predicted: Integers, classes: int) -> tuple[Floats, Floats, Floats, Integers]:
    """Precision, recall, F1 and support [K] of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    scores: tuple[Floats, Floats, Floats, Integers] = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(classes), zero_division=0.0
    )
    return scores


def _class_counts(values: Integers, classes: int, where: NDArray[np.bool_] | None = None) -> Integers:
    """[rows, K] How often each class occurs in each row of values [rows, n], counting only `where`."""
    flat = values + classes * np.arange(len(values))[:, None]
    chosen = flat.ravel() if where is None else flat[where]
    return np.bincount(chosen, minlength=len(values) * classes).reshape(len(values), classes)


def _ratio(above: Integers, below: Integers) -> Floats:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def _mean(values: NDArray[Any]) -> float:
    return math.fsum(values.tolist()) / len(values)


def percentiles(values: list[float]) -> list[float]:
    """The quantiles INTERVAL of the values, without interpolation (the inverse of the empirical distribution)."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, math.ceil(quantile * len(ordered)) - 1)] for quantile in INTERVAL]
