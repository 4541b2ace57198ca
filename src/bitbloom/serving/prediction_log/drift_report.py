"""The report of /drift: the last predictions of this process, compared with the reference of the Bento."""

from __future__ import annotations

import functools
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core.errors import BitBloomError
from bitbloom.serving.prediction_log import log_metrics, parts
from bitbloom.serving.prediction_log.window import Window
from bitbloom.serving.rejections import Rejected
from bitbloom.serving.settings import Digests

if TYPE_CHECKING:
    from bitbloom.drift.observations import Observations

KEPT_SECONDS = 10.0
"""How long a report is sent again."""


class DriftReports:
    """Compares when it is asked, one comparison at a time, and keeps the last for some seconds."""

    def __init__(self, window: Window, reference: Path, digests: Digests) -> None:
        self.window, self.path, self.digests = window, reference, digests
        self.lock = threading.Lock()
        self.report: dict[str, Any] = {}
        self.version = -1
        self.until = 0.0

    def expected_accuracy(self) -> float | None:
        """The accuracy on the validation split; None without a reference, or without labels."""
        if not self.path.is_file():
            return None
        from bitbloom.drift import accuracy

        return accuracy.of_labelled(self._reference)

    def current(self) -> dict[str, Any]:
        """The report, at most KEPT_SECONDS old.

        Raises:
            Rejected: the Bento has no reference (404), or the window has too few predictions (409).
        """
        with self.lock:
            if time.monotonic() >= self.until:
                self._compute()
                self.until = time.monotonic() + KEPT_SECONDS
            return self.report

    def refresh(self) -> None:
        """Compute the report again if the window has changed. Raises Rejected as `current`."""
        with self.lock:
            if self.window.version != self.version:
                self._compute()

    def _compute(self) -> None:
        version, rows, truths = self.window.snapshot()
        if not self.path.is_file():
            raise Rejected(404, f"this Bento has no {self.path.name} to compare with: package the target again")
        from bitbloom.drift import comparison
        from bitbloom.drift.observations import Observations

        if len(rows) < comparison.FEWEST:
            raise Rejected(409, f"{len(rows)} predictions are in memory, {comparison.FEWEST} are needed: try again later")
        try:
            found = comparison.compare(self._reference, Observations(parts.table(rows, self.digests, truths)))
        except BitBloomError as error:
            raise Rejected(409, str(error)) from error
        self.report, self.version = json.loads(found.to_json()), version
        scores = {test.name: test.distance for test in found.tests}
        log_metrics.compared(scores, found.drifted, found.samples, found.accuracy.cbpe)

    @functools.cached_property
    def _reference(self) -> Observations:
        from bitbloom.drift.observations import Observations

        return Observations.read([self.path])
