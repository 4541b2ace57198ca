"""Prometheus metrics of the prediction log: rows, parts and errors, feedback, drift and accuracy."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from bitbloom.serving.metrics import PREFIX
from bitbloom.serving.prediction_log.writer import Counters

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

LATEST: Literal["livemostrecent"] = "livemostrecent"
"""Of several processes of a service, each with a window of its own, the last to compare sets a gauge."""


class _Metrics(NamedTuple):
    rows: Counter
    dropped: Counter
    parts: Counter
    errors: Counter
    feedback: Counter
    score: Gauge
    detected: Gauge
    samples: Gauge
    reference: Gauge
    estimated: Gauge
    realised: Gauge


@functools.cache
def _metrics() -> _Metrics:
    """Made at the first use: see `metrics`."""
    from prometheus_client import Counter, Gauge

    return _Metrics(
        Counter("log_rows", "Rows written to the prediction log", namespace=PREFIX),
        Counter("log_dropped", "Rows that the prediction log had no memory for, or could not write", namespace=PREFIX),
        Counter("log_parts", "Parts written to the prediction log", namespace=PREFIX),
        Counter("log_errors", "Errors of the storage of the prediction log", namespace=PREFIX),
        Counter("feedback", "True labels received, by whether they are the predicted ones", ["correct"], namespace=PREFIX),
        Gauge("drift_score", "Drift of a feature", ["feature"], namespace=PREFIX, multiprocess_mode=LATEST),
        Gauge("drift_detected", "Whether drift was detected: 0 or 1", namespace=PREFIX, multiprocess_mode=LATEST),
        Gauge("drift_samples", "Predictions of the last comparison", namespace=PREFIX, multiprocess_mode=LATEST),
        Gauge("reference_accuracy", "Accuracy on the validation split", namespace=PREFIX, multiprocess_mode=LATEST),
        Gauge("estimated_accuracy", "Accuracy estimated without labels", namespace=PREFIX, multiprocess_mode=LATEST),
        Gauge("realised_accuracy", "Accuracy by the feedback on the window", namespace=PREFIX, multiprocess_mode=LATEST),
    )


def of_predictions() -> Counters:
    """The counters of rows of predictions, which begin at 0 so that an increase is seen."""
    found = _metrics()

    def written(rows: int) -> None:
        found.rows.inc(rows)
        found.parts.inc()

    for counter in (found.rows, found.dropped, found.parts, found.errors):
        counter.inc(0)
    return Counters(written, found.dropped.inc, found.errors.inc)


def of_truths() -> Counters:
    """The counters of feedback: what cannot be written counts as an error, rows without memory as dropped."""
    found = _metrics()
    return Counters(lambda _: None, found.dropped.inc, found.errors.inc)


def expected(accuracy: float | None) -> None:
    """Set the accuracy with which the estimated and the realised one are compared; None when it is unknown."""
    _metrics().reference.set(_or_nan(accuracy))


def received(correct: bool | None) -> None:
    """Count a true label: `correct` is whether it was predicted; None when the prediction is no longer in memory."""
    name = "unknown" if correct is None else str(correct).lower()
    _metrics().feedback.labels(name).inc()


def compared(scores: Mapping[str, float], detected: bool, samples: int, estimated: float | None) -> None:
    """Set the gauges of a comparison with the reference."""
    found = _metrics()
    for feature, score in scores.items():
        found.score.labels(feature).set(score)
    found.detected.set(detected)
    found.samples.set(samples)
    found.estimated.set(_or_nan(estimated))


def realised(accuracy: float | None) -> None:
    """Set the accuracy by feedback; None when too few labels are known."""
    _metrics().realised.set(_or_nan(accuracy))


def _or_nan(value: float | None) -> float:
    """An unknown number is not a number: an earlier value would stay, and with it an alert."""
    return math.nan if value is None else value
