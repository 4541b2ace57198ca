"""Measure how well flipped labels of photos are found, and write the table of docs/label-errors.md.

    python benchmarks/label_errors.py flowers.tar [--tune]

A run gives 5 % of the photos another label, drawn evenly among the other classes, and ranks all photos as `bitbloom audit-labels`
does. Precision is the fraction of flipped labels among the first 5 %. Labels that were wrong before count as mistakes of the
ranking. The seeds of the table are 0, 1 and 2; `--tune` prints other seeds, by which the settings were chosen.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from bitbloom.audit import command, features
from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.data.importing import import_data
from bitbloom.data.sources import own_data
from bitbloom.numerics import pins

DOCUMENT = Path("docs/label-errors.md")
MARKS = "<!-- measured -->\n\n", "\n<!-- end -->"
FRACTION = 0.05
REPORTED, TUNING = (0, 1, 2), (100, 101, 102, 103, 104, 105)


def read(photos: Path, folder: Path) -> pd.DataFrame:
    """The photos of a folder, tar or zip with one folder per class: id, label, key, and path."""
    import_data(photos, folder, own_data("folder"))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    ids = [path.relative_to(folder).as_posix() for path in files]
    labels = [path.parent.name for path in files]
    return pd.DataFrame({"id": ids, "label": labels, "key": digests, "path": [path.as_posix() for path in files]})


def flipped(rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, set[str]]:
    """Give a fraction of the rows another label. Returns the rows, and the ids of those with a wrong label."""
    dice, classes = np.random.default_rng(seed), sorted(set(rows["label"]))
    chosen = dice.choice(len(rows), round(FRACTION * len(rows)), replace=False)
    moves = dice.integers(1, len(classes), len(chosen))
    labels = rows["label"].tolist()
    for position, move in zip(chosen.tolist(), moves.tolist(), strict=True):
        labels[position] = classes[(classes.index(labels[position]) + move) % len(classes)]
    return rows.assign(label=labels), set(rows["id"].iloc[chosen])


def measure(rows: pd.DataFrame, found: features.Features, seed: int) -> tuple[str, str, str, str]:
    """Seed, flipped labels, precision among as many first ones, and estimated number of wrong labels."""
    changed, wrong = flipped(rows, seed)
    ranked, estimate = command.find(changed, found)
    precision = sum(each.id in wrong for each in ranked[: len(wrong)]) / len(wrong)
    return str(seed), f"{len(wrong)}", f"{precision:.3f}", f"{estimate}"


def write(lines: list[str]) -> None:
    """Replace the table of the document."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1], 1)[1]
    canonical.write_text(DOCUMENT, before + MARKS[0] + "\n".join(lines) + "\n" + MARKS[1] + after)


def main() -> None:
    """Measure, print, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder, tar or zip with one folder per class")
    parser.add_argument("--tune", action="store_true", help="print the seeds by which the settings were chosen")
    options = parser.parse_args()
    pins.require("portable")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            rows = read(options.photos, Path(temporary) / "photos")
        except BitBloomError as error:
            sys.exit(f"error: {error}")
        file = features.STORE / f"bench-labels-{features.PHOTOS.name}.npz"
        found = features.features(features.PHOTOS, rows["path"].tolist(), rows["key"].tolist(), file)
    measured = [measure(rows, found, seed) for seed in (TUNING if options.tune else REPORTED)]
    columns = ("seed", "flipped labels", "precision in the first 5 %", "estimated wrong labels")
    table = Table(*columns, title=f"{len(rows):,} photos of {options.photos.name}")
    for row in measured:
        table.add_row(*row)
    Console().print(table)
    if not options.tune:
        write([f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *measured)])


if __name__ == "__main__":
    checkout.require()
    main()
