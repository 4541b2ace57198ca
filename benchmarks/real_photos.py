"""Measure the accuracy of `petals-folder` on real photos, from the locked ViT-S and from random weights.

    python benchmarks/real_photos.py flowers.tar [--only locked|random] [--json results.json]

Each row is a variant, built up to `evaluate`. Minutes are the wall-clock time of the build: training and all earlier stages.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, external

TARGET = "petals-folder"
RANDOM = ("model=vit-conv", "augment=strong", "train=scratch-long", "prepare.image_size=112")


@dataclass(frozen=True)
class Case:
    """One row: the initial weights, and the overrides that select them."""

    name: str
    overrides: tuple[str, ...]


OWN = ("source.path=data/external/bench-photos",)
"""The folder of the photos, apart from a user's own."""
CASES = {"locked": Case("locked ViT-S, fine-tuned", ()), "random": Case("ViT from random weights", RANDOM)}


def measure(case: Case) -> dict[str, float | str]:
    """Build one case and read its metrics."""
    start = time.monotonic()
    workspace = build.build(TARGET, "evaluate", (*OWN, *case.overrides))
    minutes = (time.monotonic() - start) / 60
    metrics = canonical.read_json(workspace / "reports" / TARGET / "metrics.json")
    return {"case": case.name, "accuracy": metrics["accuracy"], "macro_f1": metrics["macro_f1"], "minutes": minutes}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder, tar or zip with one folder per class")
    parser.add_argument("--only", choices=CASES, help="one row")
    parser.add_argument("--json", type=Path, help="write the rows there")
    options = parser.parse_args()
    try:
        external.take(TARGET, str(options.photos), OWN)
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    rows = [measure(case) for name, case in CASES.items() if options.only in (None, name)]
    table = Table("start", "accuracy", "macro F1", "minutes", title=f"{TARGET} on {options.photos.name}")
    for row in rows:
        table.add_row(str(row["case"]), f"{row['accuracy']:.4f}", f"{row['macro_f1']:.4f}", f"{row['minutes']:.1f}")
    Console().print(table)
    if options.json:
        canonical.write_json(options.json, rows)


if __name__ == "__main__":
    checkout.require()
    main()
