"""Run trials in processes of this machine, several at a time.

Each task has a process of its own. They are forked from one server that imported PyTorch once, so a task starts in milliseconds,
and a process that fails or is killed takes no other with it.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import connection, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.experiments.sweep import records

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.run import Sweep
    from bitbloom.experiments.sweep.study import Progress, Task

ARCHITECTURES = tuple(f"transformers.models.{name}.modeling_{name}" for name in ("vit", "dinov2", "bert"))
"""The networks import these when they are built; here they are imported once, which saves each trial seconds."""
SERVER_LOST = 255
"""Exit code of multiprocessing for a process whose server was killed."""


def execute(tasks: Sequence[Task], sweep: Sweep) -> Iterator[tuple[Task, Progress]]:
    """Run tasks of a sweep, at most WORKERS together, and yield them as they end.

    One thread starts and awaits all processes: in two threads, both could read the exit code of one, and a second reader gets
    another. A process that is killed starts again from the newest checkpoint.

    Raises:
        BitBloomError: a trial could not run; the processes of the others are killed first.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", records.TRIAL, f"bitbloom.tasks.{sweep.tree.task}.model", *ARCHITECTURES])
    waiting, at_a_time = deque((each, 1) for each in tasks), workers()
    running: dict[int, tuple[ForkServerProcess, Task, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                each, attempt = waiting.popleft()
                given = (sweep.place(each), sweep.space.target, sweep.space.metric, each.until)
                process = context.Process(target=_process, args=given)
                process.start()
                running[process.sentinel] = process, each, attempt
            for ready in connection.wait(list(running)):
                assert isinstance(ready, int)
                process, each, attempt = running.pop(ready)
                process.join()
                if process.exitcode == 0:
                    yield each, sweep.recorded(each)
                else:
                    require_killed(process.exitcode or 0, each, attempt, sweep.place(each) / records.LOG)
                    waiting.appendleft((each, attempt + 1))
    finally:
        for process, _, _ in running.values():
            process.kill()
            process.join()


def _process(place: Path, target: str, metric: str, until: int | None) -> None:
    from bitbloom.experiments.sweep import trial

    trial.process(place, target, metric, until)


def require_killed(code: int, task: Task, attempt: int, log: Path) -> None:
    """Return if a process was killed, but not too often. Raises BitBloomError otherwise."""
    if 0 < code < SERVER_LOST:
        raise BitBloomError(f"trial {task.number} ({' '.join(task.overrides)}): {_reason(log)}; {log}")
    if attempt == records.ATTEMPTS:
        name = "with its server" if code > 0 else f"by {signal.Signals(-code).name}"
        raise BitBloomError(
            f"the process of trial {task.number} was killed {records.ATTEMPTS} times, {name}; with too little memory, use fewer "
            "WORKERS. The same command resumes the sweep"
        )


def _reason(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    written = [line.strip() for line in lines if line.strip()]
    return written[-1].removeprefix("error: ") if written else "its process ended without a message"
