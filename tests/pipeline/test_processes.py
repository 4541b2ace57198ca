"""Work spread over processes: results in order, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bitbloom.core import processes
from support.processes import still_running

PARENT = """
import os, sys, time
from functools import partial
from pathlib import Path
from bitbloom.core import processes

def work(folder, number):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    list(processes.spread(partial(work, sys.argv[1]), range(2), workers=2, chunk=1))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_spread_returns_results_in_order(workers):
    assert list(processes.spread(abs, range(-9, 9), workers, chunk=4)) == [abs(number) for number in range(-9, 9)]


def test_spread_raises_the_error_of_a_worker():
    with pytest.raises(TypeError, match="bad operand"):
        list(processes.spread(abs, [1, "one"], workers=2, chunk=1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "at work").mkdir()
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path / "at work"])
    while len(found := list((tmp_path / "at work").iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    workers = [psutil.Process(int(file.name)) for file in found]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert still_running(workers, 10) == []
