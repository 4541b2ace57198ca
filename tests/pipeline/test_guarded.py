"""A guarded program ends with the process that started it, whichever way that ends, and so do its own processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitbloom.core import guarded
from support.tiny import REPOSITORY

STUBBORN = "trap '' TERM HUP INT; sleep 300 & echo $$ $! > pids; while :; do sleep 0.1; done"
"""A program that ignores every polite signal, with a process of its own."""
PARENT = """
import os, sys, time
from pathlib import Path
from bitbloom.core import guarded
with open("log", "wb") as log, guarded.running(["sh", "-c", sys.argv[1]], os.environ, log, Path(), 1):
    print("running", flush=True)
    time.sleep(300)
"""


def pids(folder: Path) -> list[int]:
    """The processes of the program, once they are written."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = (folder / "pids").read_text().split() if (folder / "pids").exists() else []
        if len(found) == 2:
            return [int(pid) for pid in found]
        time.sleep(0.02)
    pytest.fail("the program did not start")


def have_ended(found: list[int]) -> bool:
    """Whether all processes end soon. One that no parent has waited for counts as ended."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        states = [Path(f"/proc/{pid}/stat") for pid in found]
        if not any(state.exists() and state.read_text().rpartition(")")[2].split()[0] not in "ZX" for state in states):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGHUP], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_program_ends_with_its_parent(tmp_path, signals):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-c", PARENT, STUBBORN]
    parent = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout and parent.stdout.readline() == b"running\n"
    found = pids(tmp_path)
    for number in signals:
        parent.send_signal(number)
        time.sleep(0.2)
    assert parent.wait(30) != 0
    assert have_ended(found)
    parent.stdout.close()


def test_program_ends_with_the_block(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        with guarded.running(["sh", "-c", "sleep 300 & echo $$ $! > pids; wait"], os.environ, log, tmp_path) as process:
            found = pids(tmp_path)
        assert process.returncode == -signal.SIGTERM
    assert have_ended(found)
