"""The stages of a build, in order. Each module has `READS`, the config sections it reads, and `run(target)`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from bitbloom.config import sections
from bitbloom.config.target import Target
from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import end_with_parent
from bitbloom.numerics import pins

STAGES = ("ingest", "validate", "prepare", "features", "train", "evaluate", "export", "package")
"""All stages; only models with frozen parts have `features`."""

EVERY_STAGE = ("numerics",)
"""Sections that every stage reads: the pins of its process."""


def named_modules(reads: Sequence[str], parts: Sequence[str], task: str, kind: str) -> list[str]:
    """Return the modules that a stage loads by name: config sections, modules of the task, and the kind of the model.

    Args:
        reads: `READS` of the stage.
        parts: `PARTS` of the stage.
        task: the task's name.
        kind: `model.kind`.
    """
    keys = {key.partition(".")[0] for key in (*reads, *EVERY_STAGE)}
    found = [f"bitbloom.config.sections.{section}" for section in sorted(keys & set(sections.names()))]
    found += [f"bitbloom.tasks.{task}.{part}" for part in parts]
    return [*found, f"bitbloom.config.models.{kind}"] if "model" in {*parts, *keys} else found


def main(run: Callable[[Target], None], reads: Sequence[str]) -> None:
    """Entry point of `python -m bitbloom.stages.<stage> TARGET`: ensure the checkout's own code and the pins, then run the stage.

    A BitBloomError becomes one line on stderr and exit code 1.
    """
    try:
        checkout.require()
        if len(sys.argv) != 2:
            sys.exit(f"usage: {sys.argv[0]} TARGET")
        if "DVC_STAGE" in os.environ:  # without it, a stage of a killed DVC would write into the next build
            end_with_parent()
        name = sys.argv[1]
        pins.require(Target.load(name, ["numerics"]).numerics.profile)
        run(Target.load(name, reads))
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
