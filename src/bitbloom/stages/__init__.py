"""The stages of a build, in order. Each module has `READS`, the config sections it reads, and `run(target)`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from bitbloom.config.target import Target
from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import end_with_parent
from bitbloom.numerics import pins

STAGES = ("ingest", "validate", "prepare", "features", "train", "evaluate", "export", "package")
"""All stages; only models with frozen parts have `features`."""


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
