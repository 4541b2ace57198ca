"""BentoML's own API: bentoml serve bentoml_plain:Petals (or :Batched)"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
import models
import numpy as np

THREADS = len(os.sched_getaffinity(0))


@bentoml.service(name="petals", workers=1, threads=THREADS)
class Petals:
    """Photos → labels, one request at a time in each thread."""

    def __init__(self) -> None:
        self.model = models.load()

    @bentoml.api
    def predict(self, image: Path) -> dict[str, object]:
        """Label a photo."""
        return models.predict(self.model, image.read_bytes())


@bentoml.service(name="batched", workers=1, threads=THREADS)
class Batched:
    """Photos → labels, with adaptive batching."""

    def __init__(self) -> None:
        self.model = models.load()

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=10_000)
    def predict(self, image: list[Path]) -> list[dict[str, object]]:
        """Label the photos of several requests."""
        pixels = np.stack([self.model.pixels(photo.read_bytes()) for photo in image])
        return [self.model.label(each) for each in self.model.probabilities(pixels)]
