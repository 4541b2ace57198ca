"""Flame graphs by py-spy, which reads the stacks of a process from outside. Where the system forbids that, the reason instead."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

RATE = 200
"""Samples per second."""
SECONDS_TO_START, SECONDS_TO_WRITE = 30, 120
BEGUN = "Sampling process"
"""py-spy's message once it has found the stacks of the process."""
MISSING = "py-spy is not installed: `make setup` of a development environment installs it"
RIGHTS = "py-spy may not read the process here (ptrace; in a container, --cap-add SYS_PTRACE permits it)"


def program() -> str | None:
    """py-spy of this environment, or on the path; None without one."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def options(svg: Path) -> list[str]:
    """Arguments of a record: one flame graph of a process and its children, by function."""
    return ["record", "--output", str(svg), "--rate", str(RATE), "--subprocesses", "--function"]


def permit() -> None:
    """Permit any process of this user to read this one, where Yama restricts that to its parents."""
    if sys.platform == "linux":
        set_ptracer, any_process = 0x59616D61, ctypes.c_ulong(-1)
        ctypes.CDLL(None).prctl(set_ptracer, any_process, 0, 0, 0)


class Sampler:
    """Samples a running process and its children from `start` to `stop`."""

    def __init__(self, pid: int, svg: Path) -> None:
        self.pid, self.svg = pid, svg
        self.messages = svg.with_suffix(".txt")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when the first samples are taken, or when py-spy gave up."""
        found = program()
        if found is None:
            return
        with self.messages.open("wb") as stream:
            command = [found, *options(self.svg), "--pid", str(self.pid)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        _wait(lambda: BEGUN in _text(self.messages), self.process)

    def stop(self) -> str:
        """End and write the flame graph. Returns why there is none, or an empty text."""
        if self.process is None:
            return MISSING
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(SECONDS_TO_WRITE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return problem(self.svg, _text(self.messages))


def recorded(command: Sequence[str], cwd: Path, environment: Mapping[str, str], svg: Path) -> tuple[int, str]:
    """Run a Python command to its end under py-spy. Returns its exit code, and why there is no flame graph.

    Where py-spy cannot start, the command does not run, and the exit code is 0.
    """
    found = program()
    if found is None:
        return 0, MISSING
    messages = svg.with_suffix(".txt")
    with messages.open("wb") as stream:
        done = subprocess.run([found, *options(svg), "--", *command], cwd=cwd, env=environment, stdout=stream, stderr=stream)
    why = problem(svg, _text(messages))
    return (0 if why else done.returncode), why


def problem(svg: Path, messages: str) -> str:
    """Why a record has no flame graph: an empty text when it has one."""
    if svg.exists() and "<svg" in svg.read_text(encoding="utf-8", errors="replace"):
        return ""
    if any(word in messages for word in ("ermission", "EPERM", "Operation not permitted")):
        return RIGHTS
    lines = [line for line in messages.splitlines() if line.strip()]
    return f"py-spy took no samples: {lines[-1].strip() if lines else 'it ended without a message'}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _wait(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in range(SECONDS_TO_START * 20):
        if done() or process.poll() is not None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)


def own_pid() -> int:
    """This process, which permits itself to be sampled."""
    permit()
    return os.getpid()
