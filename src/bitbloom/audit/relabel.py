"""`bitbloom relabel`: apply the verdicts of an edited CSV, which makes a new version of a target's data.

`conf/relabel/<target>.csv` has all corrected labels of a target, with those of its source. Git keeps it, and ingest reads it: the
raw data, and all that is built from it, has another digest afterwards. Nothing else changes, and its history is the history of
the labels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bitbloom.audit import table
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.relabels import COLUMNS, RELABELS, Relabel, Relabels
from bitbloom.pipeline import build, composition, graph

SHOWN = 5
"""Largest number of errors in a message."""


@dataclass(frozen=True)
class Applied:
    """The file of all corrected labels, their number, and how many of them are new."""

    file: Path
    labels: int
    new: int


def run(target: str, file: Path) -> Applied:
    """Add the verdicts of a CSV to the target's corrected labels, all or none, and update its graph.

    Raises:
        BitBloomError: a row has an unknown sample or label, or contradicts the data or an earlier correction.
    """
    tree = composition.compose(target)
    if tree.model.kind == "caption":
        raise BitBloomError(f"'{target}' has captions, not labels: correct them in its source, and import it again")
    with build.build_lock():
        relabels = Relabels.of(target)
        overlay, earlier = relabels.file, relabels.wanted
        labels = current_labels(target, earlier)
        new = additions(table.read(file), labels, earlier, allowed(tree, labels))
        if new:
            canonical.write_text(overlay, relabels_text({**earlier, **new}))
            graph.write_for({target: tree})
    return Applied(overlay, len(earlier) + len(new), len(new))


def current_labels(target: str, earlier: Mapping[str, Relabel]) -> dict[str, str]:
    """Sample → its label, with earlier corrections, also where the data was not built since. Raises BitBloomError."""
    manifest = Path("data/raw") / target / "manifest.parquet"
    if not manifest.exists():
        raise BitBloomError(f"{manifest} is missing: run `make data TARGET={target}` first")
    rows = pd.read_parquet(manifest, columns=["id", "label"])
    labels = dict(zip(rows["id"], rows["label"], strict=True))
    return labels | {id: relabel.label for id, relabel in earlier.items() if id in labels}


def allowed(tree: Any, labels: Mapping[str, str]) -> set[str]:
    """The labels that the gate expects, or without such a list those that the data has."""
    return set(tree.gate.labels or ()) or set(labels.values())


def additions(
    rows: Sequence[table.Row], labels: Mapping[str, str], earlier: Mapping[str, Relabel], known: set[str]
) -> dict[str, Relabel]:
    """Return the corrections that an edited CSV adds. A verdict that is the label confirms it, and adds nothing.

    Raises:
        BitBloomError: rows are wrong; the message has the first ones.
    """
    errors = list(_errors(rows, labels, earlier, known))
    if errors:
        more = f"\n… and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        raise BitBloomError("\n".join(errors[:SHOWN]) + f"{more}\nno label was changed")
    return {row.id: Relabel(labels[row.id], row.verdict) for row in rows if row.verdict and row.verdict != labels[row.id]}


def _errors(
    rows: Sequence[table.Row], labels: Mapping[str, str], earlier: Mapping[str, Relabel], known: set[str]
) -> Iterator[str]:
    seen: dict[str, str] = {}
    for row in rows:
        if row.id not in labels:
            yield f"{row.place}: the data has no sample '{row.id}': give the ids of `make audit-labels`"
            continue
        if seen.setdefault(row.id, row.verdict) != row.verdict:
            yield f"{row.place}: '{row.id}' has two verdicts, '{seen[row.id]}' and '{row.verdict}': remove one"
        stale = earlier[row.id].before if row.id in earlier else labels[row.id]
        if row.label not in (labels[row.id], stale):
            yield f"{row.place}: '{row.id}' has the label '{labels[row.id]}', not '{row.label}': write the right one into verdict"
        if row.verdict and row.verdict not in known:
            yield f"{row.place}: no label '{row.verdict}'; there are: {', '.join(sorted(known))}"
        elif row.verdict and row.id in earlier and row.verdict != labels[row.id]:
            yield (
                f"{row.place}: '{row.id}' was already corrected from '{earlier[row.id].before}' to '{labels[row.id]}': "
                f"remove that row of {RELABELS} first, to give it another label"
            )


def relabels_text(relabels: Mapping[str, Relabel]) -> str:
    """The file of corrected labels, sorted by id."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([id, relabel.before, relabel.label] for id, relabel in sorted(relabels.items()))
    return stream.getvalue()
