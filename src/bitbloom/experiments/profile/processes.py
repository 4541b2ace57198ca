"""Runs the profiled program: its output is kept in a log, and shown when it fails."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitbloom.core.errors import BitBloomError

LAST_LINES = 12


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], what: str) -> float:
    """Run a program to its end in a folder. Returns its seconds. Raises BitBloomError with the end of its output."""
    log = folder / "output.txt"
    began = time.perf_counter()
    with log.open("wb") as stream:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BitBloomError(f"{what} failed (exit code {done.returncode}), so there is no profile:\n{tail(log)}")
    return seconds


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
