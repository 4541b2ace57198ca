"""A build that is killed, again and again, at any moment of any stage, still ends with the claimed bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from checkouts import TARGET, checkout, environment, run

KILLS = 20
SECONDS = (3.0, 14.0)
"""How long a build runs before it is killed."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "killed")
    dice = random.Random(3)
    stages, kills = set(), 0
    while kills < KILLS:
        finished, log = start_and_kill(folder, dice.uniform(*SECONDS))
        stages |= {line.split("'")[1] for line in log.splitlines() if line.startswith("Running stage")}
        kills += not finished
        if finished:
            assert run(folder, "git", "status", "--porcelain") == ""
            forget(folder)
    output = run(folder, "make", "all", TARGET)
    assert run(folder, "git", "status", "--porcelain") == "", output
    assert len(stages) >= 5, stages


def start_and_kill(folder: Path, seconds: float) -> tuple[bool, str]:
    """Start a build and end it, with all its processes; whether it was done before, and what it had printed."""
    with (folder / ".bitbloom/killed.log").open("w+") as log:
        command, variables = ["make", "all", TARGET], environment(folder)
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            finished = process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            finished = False
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        text = log.read()
    assert finished or process.returncode == -signal.SIGKILL, text
    return finished, text


def forget(folder: Path) -> None:
    """Everything that was built, and the cache it could come back from."""
    run(folder, "make", "clean")
    run(folder, "rm", "-rf", ".dvc/cache")
