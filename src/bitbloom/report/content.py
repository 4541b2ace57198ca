"""What the report and the model card say, gathered once and put into words: no page decides on a number of its own."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"

METRICS: dict[str, tuple[str, str]] = {
    "f1": ("F1", "precision and recall of the class that is looked for"),
    "tfidf_f1": ("F1 of counted words", "the same of a TF-IDF with logistic regression"),
    "accuracy": ("Accuracy", "answers that are right"),
    "top5_accuracy": ("Top-5 accuracy", "the truth is among the five likeliest"),
    "macro_f1": ("Macro F1", "precision and recall, every class counting the same"),
    "log_loss": ("Log loss", "surprise at the truth; 0 is certain and right"),
    "expected_calibration_error": ("Calibration error", "confidence minus accuracy, on average"),
}
"""Metric → its name and what it means. A metric that is not here is shown under its key."""
SHARES = ("accuracy", "f1", "recall", "precision")
"""Metrics whose key ends so lie between 0 and 1 and are written in percent."""

TOP = 5

HEADINGS = {
    "contact_sheet": "The data",
    "curves": "Training",
    "confusion": "What is taken for what",
    "recall": "Class by class",
    "reliability": "How far to trust its confidence",
    "slices": "Part by part",
    "mistakes": "Worst mistakes",
}
"""Figure → heading of its section. A figure that is not here is headed by its name."""


@dataclass(frozen=True)
class Picture:
    """A figure as it was written: `stem` of its file, `kind` as in `style`."""

    stem: str
    caption: str
    kind: str
    png: bytes

    @property
    def heading(self) -> str:
        return HEADINGS.get(self.stem, sentence(self.stem))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the PNG's header."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


@dataclass(frozen=True)
class Headline:
    """One number of the top of the report. `interval` is its 95 % interval in words, or empty."""

    name: str
    text: str
    hint: str
    interval: str


@dataclass(frozen=True)
class Content:
    """One evaluated target.

    Attributes:
        metrics: the content of metrics.json.
        tables: name → rows.
        history: the content of training.json.
        model: the `model` section the weights were trained with.
        splits: split → number of samples, and `excluded`.
        gate: the content of validation.json, or None where there is none.
        digests: path relative to the workspace → SHA-256 of what was evaluated.
    """

    target: str
    task: str
    title: str
    source: str
    profile: str
    metrics: Mapping[str, Any]
    pictures: list[Picture]
    tables: Mapping[str, list[dict[str, Any]]]
    history: Mapping[str, Any]
    model: Mapping[str, Any]
    splits: Mapping[str, int]
    gate: Mapping[str, Any] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The title, or the target's name where it has none."""
        return self.title or self.target

    @property
    def headlines(self) -> list[Headline]:
        """The numbers at the top level of the metrics, the known ones first; of five classes or fewer, not the top five."""
        intervals = self.metrics.get("confidence_intervals", {})
        keys = [key for key, value in self.metrics.items() if isinstance(value, float)]
        if len(self.metrics.get("per_class", {})) <= TOP:
            keys = [key for key in keys if key != "top5_accuracy"]
        keys.sort(key=lambda key: (list(METRICS).index(key) if key in METRICS else len(METRICS), key))
        lines = []
        for key in keys:
            name, hint = METRICS.get(key, (sentence(key), ""))
            bounds = intervals.get(key)
            interval = f"{number(key, bounds[0])} to {number(key, bounds[1])}" if bounds else ""
            lines.append(Headline(name, number(key, self.metrics[key]), hint, interval))
        return lines

    @property
    def comparison(self) -> list[tuple[str, float, bool]]:
        """Accuracy of this model and of its baselines, best first: name, accuracy, whether it is the model."""
        baselines = self.metrics.get("baselines", {})
        if not baselines:
            return []
        rows = [("this model", float(self.metrics["accuracy"]), True)]
        rows += [(sentence(name).lower(), float(found["accuracy"]), False) for name, found in baselines.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    @property
    def classes(self) -> list[dict[str, Any]]:
        """Rows of `per_class`, the worst recall first."""
        rows = [{"class": name, **row} for name, row in self.metrics.get("per_class", {}).items()]
        return sorted(rows, key=lambda row: (row["recall"], row["class"]))


def sentence(key: str) -> str:
    """`nearest_mean_colour` → `Nearest mean colour`."""
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def number(key: str, value: float) -> str:
    """A metric's value as people read it."""
    return f"{100 * value:.1f} %" if key.endswith(SHARES) else f"{value:.3f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def grouped(value: int) -> str:
    """2712345 → `2,712,345`."""
    return f"{value:,}"
