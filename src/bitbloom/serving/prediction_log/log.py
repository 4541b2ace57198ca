"""The log of one process of a service: what is noted, what feedback joins, and what /drift compares."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitbloom.serving.model_files import REFERENCE
from bitbloom.serving.prediction_log import feedback, log_metrics, parts, retention, storage
from bitbloom.serving.prediction_log import settings as log_settings
from bitbloom.serving.prediction_log.drift_report import DriftReports
from bitbloom.serving.prediction_log.feedback import Feedback
from bitbloom.serving.prediction_log.observations import (
    IMAGE,
    TEXT,
    Observation,
    Origin,
    Outcome,
    Row,
    all_described,
    begin,
    described,
)
from bitbloom.serving.prediction_log.parts import Truth
from bitbloom.serving.prediction_log.settings import LogSettings
from bitbloom.serving.prediction_log.window import Window
from bitbloom.serving.prediction_log.writer import LOGGER, Limits, Writer
from bitbloom.serving.rejections import Rejected
from bitbloom.serving.settings import Digests

HELD_BYTES = 256_000_000
"""Memory for rows and their inputs, at most."""
TIDY_SECONDS = 3600.0
"""Between two looks for parts to delete; a look also comes when a part exceeds `bytes`."""


class PredictionLog:
    """Collects the predictions of a process, and writes them beside its requests."""

    def __init__(self, settings: LogSettings, kind: str, digests: Digests, reference: Path) -> None:
        """Start the threads.

        Args:
            settings: of the environment.
            kind: of the model: image, text or caption.
            digests: of the model and the Bento, which each row names.
            reference: the file of the Bento that /drift compares with.
        """
        self.settings, self.digests = settings, digests
        self.storage = storage.opened(settings)
        parts.of_predictions([], digests)  # imports PyArrow, which takes as long as many requests
        self.window = Window(settings.window, TEXT if kind == "text" else IMAGE)
        self.drift = DriftReports(self.window, reference, digests)
        log_metrics.expected(self.drift.expected_accuracy())
        self.tidied, self.written_bytes = -TIDY_SECONDS, 0
        self.ended = threading.Event()
        limits = Limits(settings.part_rows, settings.seconds, settings.queue, HELD_BYTES)
        self.predictions = Writer(
            _name(storage.LOG),
            limits,
            described,
            self._write,
            log_metrics.of_predictions(),
            self._see,
            self._tidy,
            all_described,
        )
        labels = replace(limits, rows=max(limits.rows, feedback.MOST))  # at least one whole request
        self.truths = Writer(_name(storage.FEEDBACK), labels, _same, self._write_truths, log_metrics.of_truths())
        if settings.drift:
            threading.Thread(target=self._compare, name="drift", daemon=True).start()
        atexit.register(self.close)

    @classmethod
    def open(cls, folder: Path, kind: str, digests: Digests) -> PredictionLog | None:
        """The log of the service in a folder, None without BITBLOOM_LOG. Raises BitBloomError for unusable settings."""
        settings = log_settings.read()
        if settings is None:
            return None
        log_settings.check(settings)
        return cls(settings, kind, digests, folder / REFERENCE)

    def origin(self, number: int = 0) -> Origin:
        """Begin prediction `number` of the request that is served."""
        return begin(number)

    def note_image(self, origin: Origin, photo: bytes, square: NDArray[np.uint8], outcome: Outcome) -> None:
        """Note the prediction for a photo, whose square [3, side, side] the network saw."""
        self.predictions.put(Observation.of_image(origin, photo, square, outcome, self.settings.content))

    def note_text(self, origin: Origin, text: str, outcome: Outcome) -> None:
        """Note the prediction for a text."""
        self.predictions.put(Observation.of_text(origin, text, outcome, self.settings.content))

    def join(self, labels: Sequence[Feedback]) -> None:
        """Accept true labels, all or none. Raises Rejected (503) when they do not fit into memory: nothing is lost unnoticed."""
        now = time.time_ns() // 1_000_000
        if not self.truths.put(*(Truth(now, each.id, each.label) for each in labels)):
            raise Rejected(503, "the storage of feedback does not keep up: try again in 10 s", {"Retry-After": "10"})
        for each in labels:
            log_metrics.received(self.window.join(each.id, each.label))
        log_metrics.realised(self.window.accuracy())

    def close(self) -> None:
        """Write everything in memory. The first call waits for it; another does nothing."""
        if not self.ended.is_set():
            self.ended.set()
            self.truths.close()
            self.predictions.close()

    def _see(self, rows: Sequence[Row]) -> None:
        if rows:
            self.window.add(rows)
            log_metrics.realised(self.window.accuracy())

    def _write(self, name: str, rows: Sequence[Row]) -> None:
        content = parts.of_predictions(rows, self.digests)
        self.storage.write(name, content)
        self.written_bytes += len(content)

    def _write_truths(self, name: str, rows: Sequence[Truth]) -> None:
        self.storage.write(name, parts.of_truths(rows))

    def _tidy(self) -> None:
        now = time.monotonic()
        # A tenth of the limit may be written before the next look: the limit holds to a tenth between two.
        if now - self.tidied >= TIDY_SECONDS or self.written_bytes > self.settings.bytes / 10:
            self.tidied, self.written_bytes = now, 0
            try:
                deleted = retention.expire(self.storage, self.settings)
            except Exception as error:  # clients of storages share no base class
                LOGGER.warning("prediction log: old parts cannot be deleted: %s", error)
            else:
                if deleted:
                    LOGGER.info("prediction log: %d old parts were deleted", len(deleted))

    def _compare(self) -> None:
        """Keep the metrics of drift current."""
        while not self.ended.wait(self.settings.drift):
            try:
                self.drift.refresh()
            except Rejected as rejected:
                LOGGER.debug("no comparison: %s", rejected.message)
            except Exception:
                LOGGER.exception("the comparison with the reference failed")


def _name(folder: str) -> retention.Namer:
    return lambda milliseconds: retention.part_name(folder, milliseconds)


def _same(truth: Truth) -> Truth:
    return truth
