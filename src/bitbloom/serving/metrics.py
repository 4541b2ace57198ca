"""Prometheus metrics of a service, at /metrics beside BentoML's: predictions, confidence, time by part, permits, rejections.

with metrics.timed("model"):
    prediction = predictor.classify(image)
metrics.predicted(prediction["label"], prediction["probability"])
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bitbloom.serving import tracing

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

PREFIX = "bitbloom"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))


class _Metrics(NamedTuple):
    predictions: Counter
    confidence: Histogram
    seconds: Histogram
    admitted: Gauge
    rejections: Counter


@functools.cache
def _metrics() -> _Metrics:
    """Made at the first use: BentoML names the folder that its processes share only after it has imported a service."""
    from prometheus_client import Counter, Gauge, Histogram

    return _Metrics(
        Counter("predictions", "Predictions by label, or by kind where there are no labels", ["label"], namespace=PREFIX),
        Histogram("confidence", "Probability of the predicted label", namespace=PREFIX, buckets=PROBABILITIES),
        Histogram("part_seconds", "Time of a part of a prediction", ["part"], namespace=PREFIX, buckets=SECONDS),
        Gauge("admitted", "Permits taken now", namespace=PREFIX, multiprocess_mode="livesum"),
        Counter("rejections", "Rejected requests by status", ["status"], namespace=PREFIX),
    )


def predicted(label: str, probability: float | None = None) -> None:
    """Count a prediction, and its confidence from 0 to 1 where it has one."""
    found = _metrics()
    found.predictions.labels(label).inc()
    if probability is not None:
        found.confidence.observe(probability)


def took(part: str, seconds: float) -> None:
    """Note the time of a part of a prediction that ends now: `queue`, `decode` or `model`. It is a span of its trace, too."""
    _metrics().seconds.labels(part).observe(seconds)
    tracing.took(part, seconds)


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Note the time of a block, unless it raises."""
    began = time.perf_counter()
    yield
    took(part, time.perf_counter() - began)


def admitted(permits: int) -> None:
    """Set the number of permits that are taken."""
    _metrics().admitted.set(permits)


def rejected(status: int) -> None:
    """Count a rejected request."""
    _metrics().rejections.labels(str(status)).inc()
