"""The tracking process: it follows a build, and logs what the build made."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from pathlib import Path

from bitbloom.core import canonical, checkout
from bitbloom.pipeline import lineage, live
from bitbloom.pipeline.tracking.copies import copy
from bitbloom.pipeline.tracking.follower import LOG
from bitbloom.pipeline.tracking.run import Tracked
from bitbloom.pipeline.tracking.warning import Warn, first_line
from bitbloom.pipeline.tracking.warning import warn as print_warning

LAST_SECONDS = 900
"""Time limit of the process after the end of a build, and of its wait for W&B's server during one."""


def log(target: str, workspace: Path, warn: Warn | None = None) -> str:
    """Log config, curves, metrics, mistakes, the confusion matrix and the model with its lineage. Returns the run's id.

    The id is the digest of the inputs of training, so a resumed or repeated build continues its run.
    """
    return log_copy(target, copy(target, workspace), None, warn or print_warning)


def log_copy(target: str, place: Path, begun: Tracked | None, warn: Warn) -> str:
    """Log a copy, in the run that its training began if it is the same, remove the copy, and return the run's id."""
    try:
        identity = lineage.recorded_id(target, place)
        if begun and begun.identity != identity:
            begun.abandon()
            begun = None
        tracked = begun or Tracked(target, place, identity, warn)
        tracked.workspace = place
        tracked.rows(live.trained_rows(target, place))
        tracked.finish()
        return identity
    finally:
        shutil.rmtree(place, ignore_errors=True)


def follow(target: str, workspace: Path, warn: Warn, pipe: int = 0) -> None:
    """Log a build as it runs, until the other end of a pipe is closed. Then log the copy whose path was written to it."""
    signal.alarm(LAST_SECONDS)  # ends a client that waits for a server forever
    identity = lineage.expected_id(target, workspace) if live.rows(target, workspace) else None
    tracked = Tracked(target, workspace, identity, warn) if identity else None
    while not select.select([pipe], [], [], live.INTERVAL)[0]:
        signal.alarm(LAST_SECONDS)
        if tracked:
            tracked.rows(live.rows(target, workspace))
    with open(pipe, "rb", closefd=False) as stream:
        place = os.fsdecode(stream.read())
    signal.alarm(LAST_SECONDS)
    if place:
        log_copy(target, Path(place), tracked, warn)
    elif tracked:
        tracked.abandon()


def main() -> None:
    """Entry point of the process: follow a build, and leave a warning for it when that fails."""
    checkout.require()
    target, workspace, status = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

    def warn(text: str) -> None:
        canonical.write_text(status, text)

    try:
        follow(target, workspace, warn)
    except Exception as error:
        warn(f"W&B: {first_line(error)}: see {LOG}")
        raise
