"""The report on robustness as one self-contained HTML page without a script. Equal reports give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.evaluation.report import plots, style
from bitbloom.experiments import page
from bitbloom.monitoring.robustness import charts
from bitbloom.monitoring.robustness.report import calibration_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bitbloom.drift.familiar import Vectors
    from bitbloom.monitoring.robustness.report import Report

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = (0, 3, 5)
"""Severities with a reliability diagram."""
NAMES = {
    "score": "score",
    "damaged_score": "score under damage",
    "mce": "mCE",
    "relative_mce": "relative mCE",
    "calibration_error": "calibration error",
    "damaged_calibration_error": "calibration error under damage",
}
"""Titles of the columns of the summary."""


def render(
    report: Report,
    examples: Mapping[str, Sequence[Any]],
    scores: tuple[Vectors, Vectors],
    strangers: Sequence[NDArray[np.uint8]],
) -> str:
    """The page. All names are escaped.

    Args:
        report: the numbers.
        examples: damage → a sample without damage and in every severity: photos [3, S, S] or texts.
        scores: of the best score for unknown inputs, for known and for unknown inputs.
        strangers: some unknown photos.
    """
    environment = page.environment(TEMPLATES)
    environment.filters.update(number=number)
    photos = report.kind != "text"
    limit = report.unknown[report.best]["threshold"]
    return environment.get_template("robustness.html.j2").render(
        report=report,
        groups={row["damage"]: row["group"] for row in report.own.rows[1:]},
        strips={name: charts.strip(own) for name, own in examples.items()} if photos else {},
        texts={} if photos else examples,
        strangers=charts.strip(strangers) if strangers else b"",
        diagrams=diagrams(report),
        histogram=style.png(charts.histogram(*scores, limit, report.best)),
        names=NAMES,
        estimators=sorted(report.own.rows[0].get("estimated", {})),
    )


def diagrams(report: Report) -> dict[str, bytes]:
    """Title → chart: reliability in the SHOWN severities, and the estimates; none without confidences."""
    found = {}
    for severity in SHOWN:
        if bins := report.own.bins(severity):
            title = f"Severity {severity}, all damages" if severity else "Without damage"
            found[title] = style.png(plots.reliability(bins, calibration_error(bins), narrow=True))
    if found:
        found["Accuracy without labels"] = style.png(charts.estimates(report.own.rows))
    return found


def number(value: float | None) -> str:
    """A number with three places, or a dash."""
    return "–" if value is None else f"{value:.3f}"
