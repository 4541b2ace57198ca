"""A training that continues when a worker is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.pipeline import elastic, shell

PYTHON = """#!/bin/sh
echo "$* WORKERS=$WORKERS" >> {log}
[ "$WORKERS" = {survives} ] || kill -9 $$
"""


@given(st.integers(2, 1000))
def test_fewer_workers_are_the_largest_smaller_power_of_two(count):
    left = elastic.fewer(count)
    assert left < count <= 2 * left
    assert left & (left - 1) == 0


def test_one_worker_stays_one():
    assert elastic.fewer(1) == 1


def train(tmp_path: Path, survives: str, workers: str) -> tuple[int, list[str], str]:
    """Run a training in the shell of the stages with a `python` that is killed until it has few workers."""
    program, log = shell.write(tmp_path / "state/shell"), tmp_path / "log"
    (tmp_path / "python").write_text(PYTHON.format(log=log, survives=survives))
    (tmp_path / "python").chmod(0o755)
    variables = os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin", "WORKERS": workers}
    done = subprocess.run(
        [program, "-c", "python -m bitbloom.stages.train petals"], env=variables, capture_output=True, text=True
    )
    return done.returncode, log.read_text().splitlines(), done.stderr


def test_shell_continues_with_half_of_the_workers_when_the_first_is_lost(tmp_path):
    code, started, errors = train(tmp_path, survives="1", workers="4")
    assert code == 0
    assert started == [f"-m bitbloom.pipeline.elastic bitbloom.stages.train petals WORKERS={count}" for count in (4, 2, 1)]
    assert errors.count("continues from its last checkpoint with WORKERS=") == 2


def test_shell_gives_up_when_one_worker_is_killed(tmp_path):
    code, started, errors = train(tmp_path, survives="0", workers="1")
    assert (code, len(started)) == (128 + signal.SIGKILL, 1)
    assert "error: `python -m bitbloom.stages.train petals` was killed by SIGKILL: memory ran out" in errors


@pytest.mark.parametrize(("number", "is_lost"), [(signal.SIGKILL, True), (signal.SIGSEGV, True), (signal.SIGTERM, False)])
def test_watch_finds_a_worker_that_a_signal_killed(number, is_lost):
    found: list[BaseProcess] = []
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,), daemon=True)
    child.start()
    watch = elastic.Watch(found.append)
    try:
        watch.look()
        os.kill(child.pid or 0, number)
        child.join()
        watch.look()
        assert bool(found) == is_lost
        assert all(one.pid == child.pid for one in found)
    finally:
        watch.end()
