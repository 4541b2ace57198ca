"""Faster variants of a trained classifier: made as files, then measured and compared.

    make optimise                      # reports/petals/optimise.{md,json,png}; the files are in dist/optimised/petals
    bitbloom optimise petals train.epochs=3

Two processes run. `make` prunes, fine-tunes and quantises under the portable pins, as training and export do. `measure` runs
without them, so that PyTorch uses all instructions of the CPU. Nothing here is an input or an output of the build.
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
    """Make and measure all variants of a target in the workspace of its build.

    Args:
        target: its name.
        workspace: where it was built.
        epochs: duration of the fine-tuning of a pruned network; 0 for none.
        turns: number of times that each variant is timed.

    Returns:
        exit code: that of the first process that fails, after its own message, or 0.
    """
    steps = (("make", str(epochs), os.environ | pins.environment("portable")), ("measure", str(turns), unpinned()))
    for module, argument, environment in steps:
        command = [sys.executable, "-m", f"{__name__}.{module}", target, argument]
        done = subprocess.run(command, cwd=workspace, env=environment, check=False)
        if done.returncode:
            return done.returncode
    return 0


def unpinned() -> dict[str, str]:
    """The environment without the pins that restrict libraries to AVX2: one thread, and all instructions of the CPU."""
    kept = {name: value for name, value in os.environ.items() if name not in pins.AVX2}
    return kept | pins.environment("fast")
