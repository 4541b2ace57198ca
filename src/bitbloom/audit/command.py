"""The audit of labels: rank the samples of a target by how much their label is doubted; write a page and a CSV.

The stage `audit` lists PERCENTAGE of the samples. `bitbloom audit-labels --percentage` writes another list to files of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bitbloom.audit import confident, features, page, pairs, probabilities, table
from bitbloom.audit.page import Audit, Shown
from bitbloom.audit.table import Finding
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.audit.features import Extractor
    from bitbloom.config.target import Target

STEM = "label-errors"
PERCENTAGE = 5.0
"""Of all samples, the smallest percentage that is listed."""
NAMED = 3
"""Largest number of samples in a message."""


@dataclass(frozen=True)
class Result:
    """The audit, and its files."""

    audit: Audit
    html: Path
    csv: Path


def run(target: Target, percentage: float | None = None) -> Result:
    """Write reports/<target>/label-errors.html and .csv, with a percentage label-errors-<percentage>.html and .csv.

    Args:
        target: one whose data is there.
        percentage: of all samples, the smallest one that is listed, by default PERCENTAGE; if more labels are doubted, more are
            listed.

    Raises:
        BitBloomError: the data is missing or has too few labels, a network of pairs is not trained, or the CSV has verdicts that
            were not applied.
    """
    stem, least = (STEM, PERCENTAGE) if percentage is None else (f"{STEM}-{percentage:g}", percentage)
    html, csv = target.reports / f"{stem}.html", target.reports / f"{stem}.csv"
    require_applied(target, csv)
    audit, show = (_pairs if target.section("model.kind") == "caption" else _labels)(target, least, csv)
    canonical.write_text(html, page.render(audit, show))
    canonical.write_text(csv, table.text(audit.listed))
    return Result(audit, html, csv)


def require_applied(target: Target, csv: Path) -> None:
    """Raise BitBloomError if a CSV has verdicts that are not the labels of the data: a new audit would lose them."""
    if not csv.is_file():
        return
    rows = _manifest(target)
    labels = dict(zip(rows["id"], rows["label"], strict=True))
    lost = [row.id for row in table.read(csv) if row.verdict and row.verdict != labels.get(row.id)]
    if lost:
        named = ", ".join(lost[:NAMED]) + (" …" if len(lost) > NAMED else "")
        raise BitBloomError(
            f"{csv} has verdicts that were not applied ({named}): "
            f"`make relabel TARGET={target.name} FILE={csv}` applies them; or move the file, for a new audit without them"
        )


def summary(result: Result) -> str:
    """A line on the result, and the paths of the files."""
    audit = result.audit
    found = f"{len(audit.listed):,} of {audit.ranked:,} {audit.unit} listed"
    if audit.wrong is not None:
        found = f"about {audit.wrong:,} of {audit.ranked:,} labels are doubted; {found}"
    if audit.contradictions:
        found += f"; {len(audit.contradictions):,} groups with equal content and several labels"
    if audit.weak:
        found += "\nthe features hardly tell these labels apart: the ranking means little"
    return f"{found}\n{result.html}\n{result.csv}"


def _pairs(target: Target, percentage: float, csv: Path) -> tuple[Audit, Callable[[str], Shown]]:
    ranked = pairs.find(target)
    listed = ranked[: math.ceil(len(ranked) * percentage / 100)]
    method = "Captions that the trained model places farther from their photo than captions of other photos."
    paths = _paths(target, _manifest(target))

    def show(id: str) -> Shown:
        return page.picture(paths[id.rpartition("#")[0]])

    return Audit(target.name, method, "pairs", len(ranked), listed, None, None, csv.as_posix()), show


def _labels(target: Target, percentage: float, csv: Path) -> tuple[Audit, Callable[[str], Shown]]:
    rows = _manifest(target)
    texts = target.section("model.kind") == "text"
    extractor = features.TEXTS if texts else features.PHOTOS
    ranked, wrong = find(rows, features_of(target, rows, extractor))
    contradictions = contradicting(rows)
    doubted = {id for group in contradictions for id, _ in group}
    shown = max(wrong, math.ceil(len(ranked) * percentage / 100))
    listed = [each for position, each in enumerate(ranked) if position < shown or each.id in doubted]
    method = (
        f"Out-of-sample probabilities of a logistic regression on frozen features ({extractor.name}), "
        f"cross-validated in {probabilities.FOLDS} folds, and confident learning."
    )
    agreement = sum((each.given or 0.0) >= (each.probability or 0.0) for each in ranked) / len(ranked)
    audit = Audit(target.name, method, "samples", len(ranked), listed, wrong, agreement, csv.as_posix(), contradictions)
    if texts:
        sentences = dict(zip(rows["id"], rows["text"], strict=True))
        return audit, lambda id: Shown(text=sentences[id])
    paths = _paths(target, rows)
    return audit, lambda id: page.picture(paths[id])


def features_of(target: Target, rows: pd.DataFrame, extractor: Extractor) -> features.Features:
    """Return the features of all rows, [n, d]."""
    file = features.STORE / f"{target.name}-{extractor.name}.npz"
    if extractor is features.TEXTS:
        texts = rows["text"].tolist()
        return features.features(extractor, texts, [features.digest(text) for text in texts], file)
    paths = [path.as_posix() for path in _paths(target, rows).values()]
    return features.features(extractor, paths, rows["sha256"].tolist(), file)


def find(rows: pd.DataFrame, found: features.Features) -> tuple[list[Finding], int]:
    """Return all samples, the most suspicious first, and the estimated number of wrong labels. Raises BitBloomError."""
    classes = sorted(set(rows["label"]))
    labels = np.array([classes.index(label) for label in rows["label"]], dtype=np.int64)
    estimated = probabilities.out_of_sample(found, labels, rows["key"].tolist())
    scores, other = confident.adjusted_confidence(estimated, labels), confident.suggested(estimated, labels)
    ids = rows["id"].tolist()
    findings = [
        Finding(
            ids[at],
            classes[labels[at]],
            classes[other[at]],
            float(scores[at]),
            float(estimated[at, labels[at]]),
            float(estimated[at, other[at]]),
        )
        for at in confident.ranking(scores, ids)
    ]
    return findings, confident.wrong_labels(estimated, labels)


def contradicting(rows: pd.DataFrame) -> list[list[tuple[str, str]]]:
    """Return groups of id and label of samples with the same key, which is equal for equal content, and several labels."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for id, key, label in zip(rows["id"], rows["key"], rows["label"], strict=True):
        groups[key].append((id, label))
    return sorted(sorted(group) for group in groups.values() if len({label for _, label in group}) > 1)


def _manifest(target: Target) -> Any:
    """The samples that can be decoded, sorted by id. Raises BitBloomError if the data is missing."""
    if not target.manifest.exists():
        raise BitBloomError(f"{target.manifest} is missing: run `make data TARGET={target.name}` first")
    rows = pd.read_parquet(target.manifest)
    return rows[rows["decodable"]].sort_values("id").reset_index(drop=True)


def _paths(target: Target, rows: pd.DataFrame) -> dict[str, Path]:
    """Sample → its file."""
    return {id: target.raw / path for id, path in zip(rows["id"], rows["path"], strict=True)}
