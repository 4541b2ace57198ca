"""Compare the transformer with Kornia's and with a traditional CNN, trained on the same data in the same way.

    python benchmarks/architectures.py [--target petals] [--json results.json]

The first row is the target; the others are its variants with `model=kornia-vit` and `model=cnn`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bitbloom.core import canonical, checkout
from bitbloom.pipeline import build

CASES = {"vision transformer": (), "Kornia's": ("model=kornia-vit",), "traditional CNN": ("model=cnn",)}


def measure(target: str, name: str, overrides: tuple[str, ...]) -> dict[str, float | str]:
    """Build one case up to `evaluate`, if necessary, and read its metrics."""
    workspace = build.build(target, "evaluate", overrides)
    metrics = canonical.read_json(workspace / "reports" / target / "metrics.json")
    history = canonical.read_json(workspace / "models" / target / "training.json")
    return {
        "model": name,
        "accuracy": metrics["accuracy"],
        "macro_f1": metrics["macro_f1"],
        "parameters": history["parameters"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="petals")
    parser.add_argument("--json", type=Path, help="write the rows there")
    options = parser.parse_args()
    rows = [measure(options.target, name, overrides) for name, overrides in CASES.items()]
    table = Table("model", "accuracy", "macro F1", "parameters", title=options.target)
    for row in rows:
        table.add_row(
            str(row["model"]),
            f"{row['accuracy']:.4f}",
            f"{row['macro_f1']:.4f}",
            f"{row['parameters']:,}",
        )
    Console().print(table)
    if options.json:
        canonical.write_json(options.json, rows)


if __name__ == "__main__":
    checkout.require()
    main()
