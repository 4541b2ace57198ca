"""What a report on robustness has, for its page, its JSON and the documentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitbloom.evaluation import metrics

SCORES = {"image": "accuracy", "text": "accuracy", "caption": "recall at 5, photo to sentence"}
"""What the score of a kind of model is."""


@dataclass(frozen=True)
class Model:
    """A measured model: how it is named, the SHA-256 of its weights, the rows of `measure.rows`, and their summary."""

    label: str
    digest: str
    rows: list[dict[str, Any]]
    summary: Mapping[str, float | None]

    @property
    def heat(self) -> dict[str, list[float]]:
        """Damage → the score in each severity."""
        found: dict[str, list[float]] = {}
        for row in self.rows[1:]:
            found.setdefault(row["damage"], []).append(row["score"])
        return found

    def bins(self, severity: int) -> list[dict[str, Any]]:
        """The bins of a reliability diagram of all damages of a severity together; empty without confidences."""
        chosen = [row["bins"] for row in self.rows if row["severity"] == severity and "bins" in row]
        return [merged(together) for together in zip(*chosen, strict=True)]


def merged(bins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One bin of several with the same limits."""
    count = sum(one["count"] for one in bins)
    found: dict[str, Any] = {"low": bins[0]["low"], "high": bins[0]["high"], "count": count}
    for name in ("confidence", "accuracy"):
        total = sum(one["count"] * one[name] for one in bins if one["count"])
        found[name] = total / count if count else None
    return found


def calibration_error(bins: Sequence[Mapping[str, Any]]) -> float:
    """The expected calibration error of bins."""
    total = sum(one["count"] for one in bins)
    apart = math.fsum(one["count"] * abs(one["accuracy"] - one["confidence"]) for one in bins if one["count"])
    return apart / float(total)


@dataclass(frozen=True)
class Report:
    """A report on robustness.

    Attributes:
        target, title, kind: of the first model.
        samples: number of test samples.
        models: the examined model, then those beside it; the first of these is the reference of the mCE.
        behaviour: rows of `behaviour.rows`.
        strangers: name of the source of the unknown inputs.
        strangers_count: their number.
        unknown: score → its numbers.
    """

    target: str
    title: str
    kind: str
    samples: int
    models: list[Model]
    behaviour: list[dict[str, Any]]
    strangers: str
    strangers_count: int
    unknown: dict[str, dict[str, float]]

    @property
    def own(self) -> Model:
        """The examined model."""
        return self.models[0]

    @property
    def score(self) -> str:
        """What the score is."""
        return SCORES[self.kind]

    @property
    def best(self) -> str:
        """The score that separates unknown inputs best, the first of equals."""
        return max(self.unknown, key=lambda name: self.unknown[name]["auroc"])

    def plain(self) -> dict[str, Any]:
        """The report as plain values, floats rounded."""
        found: dict[str, Any] = metrics.rounded(asdict(self))
        return found | {"score": self.score, "best": self.best}
