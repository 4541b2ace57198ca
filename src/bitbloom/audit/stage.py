"""audit: rank the samples of a target by how much their label is doubted. No other stage depends on it, and no build runs it.

python -m bitbloom.audit.stage petals     # → reports/petals/label-errors.html, label-errors.csv
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitbloom.audit import command
from bitbloom.stages import main

if TYPE_CHECKING:
    from bitbloom.config.target import Target

READS = ("task", "model.kind")
PARTS = ("model",)


def run(target: Target) -> None:
    """Write the page and the CSV. Raises BitBloomError if the CSV that is there has verdicts that were not applied."""
    print(command.summary(command.run(target)))


if __name__ == "__main__":
    main(run, READS)
