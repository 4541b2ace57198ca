"""A program with its own processes, like a service, that ends with this process: after an error, Ctrl-C, SIGKILL or a hang-up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

GUARD = "trap '' HUP INT TERM; read -r line; kill -s TERM -- -$1 2>/dev/null && sleep $2 && kill -s KILL -- -$1 2>/dev/null"
"""A shell that waits until the other end of its input is closed, as the system does when a process ends in any way."""


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: IO[bytes], folder: Path | None = None, seconds: int = 10
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own while the block runs. Then the whole group ends.

    Args:
        command: the program and its arguments.
        environment: all of its variables.
        log: receives its output and errors.
        folder: its current folder, by default that of this process.
        seconds: time between SIGTERM and SIGKILL.
    """
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    words = ["sh", "-c", GUARD, "guard", str(process.pid), str(seconds)]
    quiet = subprocess.DEVNULL
    guard = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield process
    finally:
        try:
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        finally:  # also after a second Ctrl-C
            _signal(process, signal.SIGKILL)
            process.wait()
            guard.kill()
            guard.communicate()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the whole group of a process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
