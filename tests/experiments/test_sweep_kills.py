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


def rows(folder: Path) -> int:
    """Number of trials in the history."""
    path = folder / SWEEP / "history.jsonl"
    return path.read_bytes().count(b'"overrides": [') if path.exists() else 0


@contextmanager
def edited(file: Path, text: str) -> Iterator[None]:
    """Add text to a file for the duration of the block."""
    before = file.read_text()
    file.write_text(before + text)
    try:
        yield
    finally:
        file.write_text(before)


def refused(folder: Path) -> str:
    """Start the sweep, which has to stop with an error before a trial runs. Returns its output."""
    before = ended(folder)
    output = run(folder, *COMMAND, fails=True)
    assert ended(folder) == before
    return output


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_workers_and_kills_do_not_change_a_sweep_and_the_pipeline_builds_its_winner(tmp_path):
    folder = checkout(tmp_path / "checkout")
    expected = sweep(folder, workers=2)
    (folder / SWEEP).rename(folder / ".bitbloom/two")
    assert sweep(folder, workers=1) == expected
    (folder / SWEEP).rename(folder / ".bitbloom/one")

    checkpoints = (folder / SWEEP).glob
    kill_when(folder, 1, lambda: any(checkpoints("trials/*/.bitbloom/checkpoints/*/step-*")), whole=False)
    with edited(folder / "src/bitbloom/training/optimiser.py", "# edited\n"):
        assert "has trials with other code:" in refused(folder)
    kill_when(folder, 2, lambda: len(ended(folder)) >= 2, whole=True)
    before, known = ended(folder), rows(folder)
    kill_when(folder, 2, lambda: rows(folder) > known, whole=True)
    assert 4 <= rows(folder) < 12
    with edited(folder / "conf/petals-tiny.yaml", "augment:\n  mixup: 0.4\n"):
        assert "has trials with other config:" in refused(folder)
    assert sweep(folder, workers=1) == expected
    assert before.items() <= ended(folder).items()  # no finished trial ran again
    assert len(ended(folder)) < 12  # some were pruned

    output = run(folder, "make", "verify", "SWEEP=petals-tiny")
    assert "all 5 are the same" in output
