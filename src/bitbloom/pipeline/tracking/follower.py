"""The tracking of a build, as the build's process sees it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.pipeline import lineage
from bitbloom.pipeline.recovery import STATE
from bitbloom.pipeline.tracking import copies, logged
from bitbloom.pipeline.tracking.warning import first_line, warn

PROCESS = "bitbloom.pipeline.tracking"
"""The module that runs as the tracking process."""
LOG = STATE / "tracking.log"
STATUS_SECONDS = 4.0
"""How long a build waits at its end for the first sign of the process."""


class Follower:
    """The tracking of one build, as its process sees it."""

    def __init__(self, target: str, workspace: Path) -> None:
        self.target, self.workspace = target, workspace
        self.process: subprocess.Popen[bytes] | None = None
        self.copy: Path | None = None
        self.end = 0.0

    @property
    def status(self) -> Path:
        """A file that the tracking process writes as soon as it knows whether it can log: a warning, or nothing."""
        return copies.COPIES / f"{self.target}.txt"

    def start(self) -> None:
        """Start the process, unless it runs or tracking is disabled."""
        if self.process is not None or not is_enabled():
            return
        command = [sys.executable, "-m", PROCESS, self.target, str(self.workspace), str(self.status)]
        try:
            canonical.write_text(self.status, "")
            self.status.unlink()
            with LOG.open("ab") as log:
                self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            warn(f"W&B: {error.strerror}: {error.filename or STATE}")

    def built(self) -> None:
        """Copy what the build made, if there is something to log. Call it while no other build changes the outputs."""
        try:
            if is_unlogged(self.target, self.workspace):
                self.start()
            if self.process is not None:
                self.copy = copies.copy(self.target, self.workspace)
        except Exception as error:  # tracking never fails a build
            warn(f"W&B: {first_line(error)}")
        self.end = time.monotonic() + STATUS_SECONDS

    def finish(self) -> None:
        """Tell the process where the copy is, or that the build failed; print its warning, or that it has not answered."""
        if self.process is None or self.process.stdin is None:
            return
        with contextlib.suppress(OSError), self.process.stdin as pipe:
            pipe.write(os.fsencode(self.copy or ""))
        if self.copy:
            self._report()

    def _report(self) -> None:
        while (
            not self.status.exists() and time.monotonic() < self.end and self.process is not None and self.process.poll() is None
        ):
            time.sleep(0.05)
        try:
            text = self.status.read_text(encoding="utf-8")
        except OSError:
            ended = self.process is not None and self.process.poll() is not None
            text = "it stopped" if ended else "no response yet; it goes on in the background"
            text = f"W&B: {text}: see {LOG}"
        warn(text)


@contextlib.contextmanager
def following(target: str, workspace: Path) -> Iterator[Follower]:
    """Track the build of the block. The block fails only by its own errors."""
    follower = Follower(target, workspace)
    try:
        yield follower
    finally:
        try:
            follower.finish()
        except Exception as error:  # tracking never fails a build
            warn(f"W&B: {first_line(error)}")


def is_enabled() -> bool:
    """Whether neither BITBLOOM_TRACK nor CI disables tracking."""
    return os.environ.get("BITBLOOM_TRACK") != "0" and not os.environ.get("CI")


def is_unlogged(target: str, workspace: Path) -> bool:
    """Whether the trained model is evaluated, and was not logged since."""
    if not is_enabled() or "evaluate" not in lineage.current(target, workspace):
        return False
    return logged.is_new(*logged.note(target, workspace))
