"""The stages of a build, in order. Each module has `READS`, the config sections it reads, and `run(target)`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence

from bitbloom.errors import BitBloomError
from bitbloom.numerics import pins
from bitbloom.target import Target

STAGES = ("ingest", "validate", "prepare", "features", "train", "evaluate", "export", "package")
"""All of them; `features` is only there for a model with frozen parts."""


def main(run: Callable[[Target], None], reads: Sequence[str]) -> None:
    """Entry point of `python -m bitbloom.stages.<stage> TARGET`: pins, then the stage; exit code 1 on a clear error."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} TARGET")
    _end_with_dvc()
    try:
        name = sys.argv[1]
        pins.require(Target.load(name, ["numerics"]).numerics.profile)
        run(Target.load(name, reads))
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _end_with_dvc() -> None:
    """A stage that DVC runs is killed when DVC is: what it left running would write into the next build."""
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
