"""Faster forms of a trained classifier: made as files, then measured side by side.

    make optimise                      # reports/petals/optimise.{md,json,png}; the files are in dist/optimised/petals
    bitbloom optimise petals train.epochs=3

Two processes do it. `make` prunes, fine-tunes and quantises under the portable pins, as training and export do. `measure` runs
without them, so that PyTorch uses what the CPU has. Nothing here is an input or an output of the build.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bitbloom.numerics import pins
from bitbloom.optimise import variants

__all__ = ["run", "unpinned", "variants"]


def run(target: str, workspace: Path, epochs: float, turns: int) -> int:
    """Make and measure all variants of a target that is built in `workspace`.

    Args:
        target: its name.
        workspace: where it was built.
        epochs: how long a pruned network is fine-tuned; 0 leaves it as it is.
        turns: how often each variant is timed.

    Returns:
        exit code: what is not 0 is that of the process that failed, which has said why.
    """
    steps = (("make", str(epochs), os.environ | pins.environment("portable")), ("measure", str(turns), unpinned()))
    for module, argument, environment in steps:
        command = [sys.executable, "-m", f"{__name__}.{module}", target, argument]
        done = subprocess.run(command, cwd=workspace, env=environment, check=False)
        if done.returncode:
            return done.returncode
    return 0


def unpinned() -> dict[str, str]:
    """The environment without the pins that hold libraries to AVX2: one thread, and whatever else the CPU has."""
    kept = {name: value for name, value in os.environ.items() if name not in pins.AVX2}
    return kept | pins.environment("fast")
