"""Measure captions and retrieval of `captions-folder` on real photos, and the gain from more of them.

    python benchmarks/captions.py photos.tar [--parts 25 50 100]

Builds variants of the target from all training photos and from fractions of them, always with the same test photos. The
baselines need no training: the caption of the most similar training photo, and chance.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, external

TARGET = "captions-folder"
PLACE = "data/external/bench-captions"
OWN = (f"source.path={PLACE}",)
"""The folder of the photos, apart from a user's own."""
SHOWN = ("i2t_recall_at_1", "i2t_recall_at_10", "t2i_recall_at_10", "cider_d", "bleu_4", "rouge_l")


def measured(part: int) -> tuple[dict[str, Any], float]:
    """The numbers of a build with `part` percent of the training photos, with its `baselines`, and its minutes."""
    start = time.monotonic()
    place = build.build(TARGET, "evaluate", (*OWN, f"train.part={part}"))
    tables = place / "reports" / TARGET / "tables"
    numbers = {row["metric"]: row["value"] for row in canonical.read_json(tables / "numbers.json")}
    return numbers | {"baselines": canonical.read_json(tables / "baselines.json")}, (time.monotonic() - start) / 60


def main() -> None:
    """Build, and print one row for each fraction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="a folder, tar or zip with photos and COCO's caption JSON")
    parser.add_argument("--parts", type=int, nargs="+", default=[25, 50, 100], help="percent of the training photos")
    options = parser.parse_args()
    try:
        external.take(TARGET, str(options.captions), OWN)
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    table = Table("learned from", *SHOWN, "minutes", title=TARGET)
    for part in options.parts:
        found, minutes = measured(part)
        table.add_row(f"{part} %", *(f"{found[name]:.3f}" for name in SHOWN), f"{minutes:.1f}")
    for baseline in found["baselines"]:
        table.add_row(
            baseline["baseline"].replace("_", " "), *(f"{baseline[key]:.3f}" if key in baseline else "" for key in SHOWN), ""
        )
    chance = (f"{found[f'chance_{name}']:.3f}" if f"chance_{name}" in found else "" for name in SHOWN)
    table.add_row("chance, searching", *chance, "")
    Console().print(table)


if __name__ == "__main__":
    checkout.require()
    main()
