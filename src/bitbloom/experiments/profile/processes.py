"""Runs the profiled program: its output is kept in a log, and shown when it fails."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core.errors import BitBloomError

LAST_LINES = 12


@dataclass(frozen=True)
class Taken:
    """Seconds from start to end, and CPU seconds of the program and all processes that it waited for."""

    wall: float
    cpu: float


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], what: str) -> Taken:
    """Run a program to its end in a folder. Raises BitBloomError with the end of its output."""
    log = folder / "output.txt"
    began, before = time.perf_counter(), _cpu()
    with log.open("wb") as stream:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    taken = Taken(time.perf_counter() - began, _cpu() - before)
    if done.returncode:
        raise BitBloomError(f"{what} failed (exit code {done.returncode}), so there is no profile:\n{tail(log)}")
    return taken


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
