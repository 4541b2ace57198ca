"""A sweep of `petals-tiny`: equal digests with one and two workers and after kills; a trial has the bytes of the pipeline."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bitbloom.core import canonical
from support.checkouts import checkout, environment, run

SWEEP = Path(".bitbloom/sweeps/petals-tiny")
COMMAND = ("bitbloom", "sweep", "run", "conf/sweep/petals-tiny.yaml")


def sweep(folder: Path, workers: int) -> bytes:
    """Run the sweep to its end, and return its history."""
    output = run(folder, "env", f"WORKERS={workers}", *COMMAND)
    assert "12 trials" in output
    return (folder / SWEEP / "history.jsonl").read_bytes()


@contextmanager
def started(folder: Path, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start the sweep in a session of its own."""
    variables = environment(folder) | {"WORKERS": str(workers)}
    with (folder / ".bitbloom/killed.log").open("w") as log:
        process = subprocess.Popen(COMMAND, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.wait()


def kill_when(folder: Path, workers: int, condition: Callable[[], bool], whole: bool) -> None:
    """Start the sweep; at a condition, kill the command with all its processes, or the command alone."""
    with started(folder, workers) as process:
        while not condition():
            assert process.poll() is None, (folder / ".bitbloom/killed.log").read_text()
            time.sleep(0.02)
        if whole:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def ended(folder: Path) -> dict[Path, int]:
    """The records of trials that ended → the time of their last change."""
    found = (folder / SWEEP).glob("trials/*/trial.json")
    return {path: path.stat().st_mtime_ns for path in found if canonical.read_json(path)["ended"]}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_workers_and_kills_do_not_change_a_sweep_and_the_pipeline_builds_its_winner(tmp_path):
    folder = checkout(tmp_path / "checkout")
    expected = sweep(folder, workers=2)
    (folder / SWEEP).rename(folder / ".bitbloom/two")

    checkpoints = (folder / SWEEP).glob
    kill_when(folder, 1, lambda: any(checkpoints("trials/*/.bitbloom/checkpoints/*/step-*")), whole=False)
    kill_when(folder, 2, lambda: len(ended(folder)) >= 2, whole=True)
    before = ended(folder)
    kill_when(folder, 2, lambda: (folder / SWEEP / "history.jsonl").exists(), whole=True)
    assert sweep(folder, workers=1) == expected
    assert before.items() <= ended(folder).items()  # no finished trial ran again
    assert len(ended(folder)) < 12  # some were pruned

    output = run(folder, "make", "verify", "SWEEP=petals-tiny")
    assert "all 5 are the same" in output
