"""A build that is killed repeatedly, at random times in every stage, still gives the expected bytes."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from bitbloom.pipeline import claim, graph
from support.checkouts import TARGET, changes, checkout, environment, run

KILLS_A_STAGE = 3
VICTIMS = {
    "the build": "",
    "the command": "bitbloom build",
    "DVC": "dvc --wait-for-lock repro",
    "the stage": "bitbloom.stages.",
}
"""Processes to kill, identified by their command line; an empty text means all."""
NAME = "petals-tiny"
PARALLEL = "evaluate"
"""The stage that runs in parallel with the two after it."""
STAGES = ["ingest", "validate", "prepare", "train", "evaluate", "export", "package"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_random_times_do_not_change_the_build(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "killed")
    lasts, dice, kills = seconds_of_stages(folder), random.Random(3), Counter[str]()
    forget(folder, STAGES[0])
    while min(kills[stage] for stage in STAGES) < KILLS_A_STAGE:
        aim = next(stage for stage in STAGES if kills[stage] < KILLS_A_STAGE)
        hit = kill(folder, aim, dice.uniform(0, lasts[aim]), dice.choice(list(VICTIMS)))
        kills.update(hit)
        if not hit:
            assert changes(folder) == ""
        if aim not in hit:  # the stage ended before the kill
            forget(folder, aim)
    assert kills.total() >= 20
    output = run(folder, "make", "all", TARGET)
    assert changes(folder) == "", output


def seconds_of_stages(folder: Path) -> dict[str, float]:
    """Return the duration of each stage of a whole build on this machine, seconds."""
    starts: dict[str, float] = {}
    with started(folder) as (process, log):
        while process.poll() is None:
            starts |= {stage: time.monotonic() for stage in stages_in(log) if stage not in starts}
            time.sleep(0.05)
    assert process.returncode == 0, log.read_text()
    alone = [stage for stage in starts if stage != PARALLEL]
    ends = {stage: starts[following] for stage, following in pairwise(alone)}
    return {stage: ends.get(stage, time.monotonic()) - start for stage, start in starts.items()}


def kill(folder: Path, aim: str, seconds: float, victim: str) -> set[str]:
    """Start a build, kill one of VICTIMS `seconds` after the stage `aim` starts, and return the stages that were hit."""
    with started(folder) as (process, log):
        while process.poll() is None and aim not in stages_in(log):
            time.sleep(0.05)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            hit = running(process) or {stages_in(log)[-1]}
            if VICTIMS[victim] and strike(process, VICTIMS[victim]):
                process.wait(600)  # the other processes notice, and a parallel stage finishes
                if aim not in (STAGES[-1], PARALLEL):  # DVC can survive and would build the rest
                    end(process)
            return hit
    assert process.returncode == 0, log.read_text()
    return set()


def running(build: subprocess.Popen[bytes]) -> set[str]:
    """Return the stages with running processes."""
    lines = [words(process) for process in members(build)]
    return {stage for line in lines for stage in STAGES if f"bitbloom.stages.{stage} {NAME}" in line}


def members(build: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    """Iterate over the processes of a build's session."""
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getsid(process.pid) == build.pid:
                yield process


def words(process: psutil.Process) -> str:
    """Return the command line of a process; empty if it just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def strike(build: subprocess.Popen[bytes], victim: str) -> bool:
    """Kill the processes of a build with this command line; return whether there were any: none run between stages."""
    struck = False
    for process in members(build):
        with contextlib.suppress(psutil.NoSuchProcess):
            if victim in words(process):
                process.kill()
                struck = True
    return struck


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a build in its own session, and yield it with its log; kill it at the end of the block if make still runs.

    Each build has a new log, because DVC can survive a killed `bitbloom build` and keep writing to its log.
    """
    log = Path(tempfile.mkdtemp(dir=folder / ".bitbloom")) / "build.log"
    with log.open("w") as stream:
        command, variables = ["make", "all", TARGET], environment(folder)
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield process, log
    finally:
        if process.poll() is None:
            end(process)
        process.wait()


def end(build: subprocess.Popen[bytes]) -> None:
    """Kill all remaining processes of a build."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(build.pid, signal.SIGKILL)


RUNS = f"(?:{'|'.join(map(re.escape, graph.DOES.values()))})$"
"""The end of the line of a stage that runs."""


def stages_in(log: Path) -> list[str]:
    """Return the stages that a build has started, in order."""
    return re.findall(rf"^(?:\w+ \| )?stage \d+ of \d+, [\d:]+: (\w+): {RUNS}", log.read_text(), re.MULTILINE)


def forget(folder: Path, stage: str) -> None:
    """Remove the outputs of a stage and the later ones, and the cache."""
    later = STAGES[STAGES.index(stage) :]
    outputs = [path for path, maker in claim.artifacts(NAME).items() if maker in later]
    assert outputs
    run(folder, "rm", "-rf", ".dvc/cache", *outputs)
