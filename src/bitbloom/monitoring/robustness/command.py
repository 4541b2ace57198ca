"""`bitbloom robustness`: measure a target, and other models beside it, and write the report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.robustness import behaviour, measure, page, strangers, unknown
from bitbloom.monitoring.robustness.record import Record
from bitbloom.monitoring.robustness.report import Model, Report
from bitbloom.monitoring.robustness.subject import WEIGHTS, Subject, damaged, load
from bitbloom.numerics import pins
from bitbloom.pipeline import build, composition

STEM = "robustness"


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        target: name of a built target.
        beside: other targets, or overrides of this one: `model=cnn train.epochs=3`. The first is the reference of the mCE.
        unknown: folder of photos, or file of texts, of no known class; None for synthetic ones.
        behaviour: whether to run the tests of behaviour.
        samples: largest number of test samples; 0 for all.
    """

    target: str
    beside: Sequence[str] = ()
    unknown: Path | None = None
    behaviour: bool = True
    samples: int = 500


def run(request: Request) -> Report:
    """Write reports/<target>/robustness.html and .json, each whole or not at all. After a stop, go on with what was measured.

    Raises:
        BitBloomError: a model is not built, models are of different kinds, or `unknown` has no input.
    """
    places = [(request.target, Path(), request.target), *(_beside(request.target, name) for name in request.beside)]
    pins.pin_torch()
    subjects = [load(name, place, label, request.samples) for name, place, label in places]
    own = subjects[0]
    for other in subjects[1:]:
        if other.kind != own.kind:
            raise BitBloomError(
                f"{other.label} is a model of kind {other.kind}, {own.label} of kind {own.kind}: compare equal kinds"
            )
    others = strangers.of(own, request.unknown)
    record = Record.of(subjects)
    rows = measure.rows(subjects, record)
    found = unknown.compare(own, others)
    report = Report(
        target=own.label,
        title=str(own.target.section("title")),
        kind=own.kind,
        samples=len(own.test.samples),
        models=[
            Model(subject.label, subject.digest, own_rows, measure.summary(own_rows, rows[1] if len(rows) > 1 else None))
            for subject, own_rows in zip(subjects, rows, strict=True)
        ],
        behaviour=behaviour.rows(own) if request.behaviour else [],
        strangers="synthetic" if request.unknown is None else request.unknown.name,
        strangers_count=len(others.samples),
        unknown={name: score.numbers for name, score in found.items()},
    )
    folder = own.target.reports
    canonical.write_json(folder / f"{STEM}.json", report.plain())
    canonical.write_text(
        folder / f"{STEM}.html", page.render(report, _examples(own), found[unknown.best(found)].scores, _shown(own, others))
    )
    record.close()
    return report


def summary(report: Report) -> str:
    """One line on each model, and the path of the page."""
    lines = [
        f"{model.label}: {report.score} {page.number(model.summary['score'])}, under damage "
        f"{page.number(model.summary['damaged_score'])}, mCE {page.number(model.summary['mce'])}"
        for model in report.models
    ]
    found = report.unknown[report.best]
    lines.append(f"unknown inputs ({report.strangers}): AUROC {page.number(found['auroc'])} of {report.best}")
    return "\n".join([*lines, f"reports/{report.target}/{STEM}.html"])


def _beside(target: str, name: str) -> tuple[str, Path, str]:
    """Target, workspace and label of another model; a variant that is not trained yet is built by the pipeline."""
    if "=" not in name:
        return name, Path(), name
    overrides = shlex.split(name)
    composition.compose(target, overrides)
    place = build.workspace(target, overrides)
    if not (place / "models" / target / WEIGHTS).exists():
        place = build.build(target, "train", overrides)
    return target, place, name


def _examples(subject: Subject) -> dict[str, list[Any]]:
    """For each damage one test sample without damage and in every severity: photos uint8 [3, S, S], or texts."""
    chosen = Subject(**{**vars(subject), "test": _first(subject)})
    field = "text" if subject.kind == "text" else "images"

    def shown(name: str, severity: int) -> Any:
        samples = damaged(chosen, name, severity)
        return str(samples.samples["text"].iloc[0]) if field == "text" else np.asarray(samples.arrays["images"])[0]

    return {name: [shown(name, severity) for severity in range(6)] for name in subject.damages}


def _first(subject: Subject) -> Any:
    """A data set of the test sample with the smallest key: the choice is random but fixed."""
    from bitbloom.monitoring.robustness.subject import select

    return select(subject.test, np.array([int(np.argmin(subject.test.sample_seeds()))]))


def _shown(subject: Subject, others: Any) -> list[Any]:
    """Up to six unknown photos for the page."""
    return [] if subject.kind == "text" else list(np.asarray(others.arrays["images"])[:6])
