"""The shell by which DVC runs a stage: the system's shell, and a message when a signal ends the stage.

DVC starts `$SHELL -c COMMAND`, and reports a stage that a signal ended as "exited with -9". This program adds the name of the
signal, and what it means: SIGKILL is how a system ends a process when memory runs out. It uses the standard library only.

A training runs under `bitbloom.pipeline.elastic`, which continues without a worker that was lost. When the first worker is lost,
which is the stage itself, this program starts it again with fewer workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

SYSTEM_SHELL = "/bin/sh"
TRAIN = "python -m bitbloom.stages.train "
ELASTIC_TRAIN = "python -m bitbloom.pipeline.elastic bitbloom.stages.train "
REMEDY = "close other programs, set WORKERS=1, or use fewer or smaller samples"
MEANINGS = {
    "SIGKILL": f"memory ran out, unless someone killed it: {REMEDY}",
    "SIGTERM": "another program or the system asked it to end: run the build again",
    "SIGHUP": "its terminal closed: run the build again",
    "SIGILL": "this CPU lacks an instruction that a package uses",
    "SIGBUS": "a file that it reads was cut, or the disk is full",
    "SIGSEGV": "a package failed: report it with the message above",
    "SIGABRT": "a package failed: report it with the message above",
    "SIGXCPU": "the limit of CPU time (ulimit -t) was reached",
    "SIGXFSZ": "the limit of a file's size (ulimit -f) was reached",
}
"""Signal → what it means, and what to do."""


def describe(number: int) -> str:
    """A signal in words: its name and its meaning."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}: {MEANINGS[name]}" if name in MEANINGS else name


def write(file: Path) -> Path:
    """Write this program as an executable file, and return its absolute path."""
    program = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).resolve())])
    text = f'#!/bin/sh\nexec {program} "$@"\n'
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o755)
        temporary.replace(file)
    return file.resolve()


def run(arguments: list[str]) -> int:
    """Run the system's shell with these arguments, and return its exit code, 128 + n after signal n.

    The person who interrupts a stage needs no message.
    """
    _end_with_parent()
    before = out_of_memory_kills()
    command = arguments[-1] if arguments else ""
    if command.startswith(TRAIN):
        code = _train([*arguments[:-1], command.replace(TRAIN, ELASTIC_TRAIN, 1)], command)
    else:
        code = _attempt(arguments, {})
    if code and out_of_memory_kills() > before:
        print(f"error: memory ran out, and the system killed a process of `{command}`: {REMEDY}", file=sys.stderr)
    elif code > 128 and code != 128 + signal.SIGINT:
        print(f"error: `{command}` was killed by {describe(code - 128)}", file=sys.stderr)
    return code


def out_of_memory_kills(process: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The number of processes of this program's control group that Linux killed because memory ran out; 0 if it is unknown.

    Another program's end, which the count of the whole system contains, is not the reason of a failed stage.

    Args:
        process: the file with the groups of this process.
        groups: the folder of all groups; version 1 has a folder for each resource.
    """
    try:
        listed = [line.split(":", 2) for line in process.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0
    found = 0
    for _, kind, path in listed:
        file = "memory.oom_control" if kind else "memory.events"
        for group in (groups / kind / path.strip("/"), groups / kind):  # a container can see its own group as the root
            with contextlib.suppress(OSError, ValueError):
                counts = dict(line.split() for line in (group / file).read_text(encoding="ascii").splitlines())
                found = max(found, int(counts.get("oom_kill", 0)))
                break
    return found


def _train(arguments: list[str], command: str) -> int:
    """Run a training. While its first worker is lost and there are others, continue with half of them."""
    value = os.environ.get("WORKERS", "")
    workers = int(value) if value.isdigit() else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    code = _attempt(arguments, {})
    while code == 128 + signal.SIGKILL and workers > 1:
        workers //= 2
        print(f"`{command}` was killed: it continues from its last checkpoint with WORKERS={workers}", file=sys.stderr)
        code = _attempt(arguments, {"WORKERS": str(workers)})
    return code


def _attempt(arguments: list[str], variables: dict[str, str]) -> int:
    """Run the system's shell, and return its exit code."""
    with subprocess.Popen([SYSTEM_SHELL, *arguments], env=os.environ | variables) as process:
        # A terminal sends them to the stage too. The next attempt must not inherit that they are ignored.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
        code = process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _end_with_parent() -> None:
    """Make Linux kill this process when DVC ends; the stage then ends too."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
