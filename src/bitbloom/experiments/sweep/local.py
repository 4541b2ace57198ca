"""Run trials in processes of this machine, several at a time.

Each task has a process of its own. They are forked from one server that imported PyTorch once, so a task starts in milliseconds,
and a process that fails or is killed takes no other with it.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import records

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.study import Progress, Task

ARCHITECTURES = tuple(f"transformers.models.{name}.modeling_{name}" for name in ("vit", "dinov2", "bert"))
"""The networks import these when they are built; here they are imported once, which saves each trial seconds."""
SERVER_LOST = 255
"""Exit code of multiprocessing for a process whose server was killed."""
ATTEMPTS = 3
"""Times that a task starts when its process is killed, each from its newest checkpoint."""


def execute(
    tasks: Sequence[Task], target: str, task: str, metric: str, place: Callable[[Task], Path], at_a_time: int
) -> Iterator[tuple[Task, Progress]]:
    """Run tasks, at most `at_a_time` together, and yield them as they end. `place` gives the folder of one.

    One thread starts and awaits all processes: in two threads, both could read the exit code of one, and a second reader gets
    another. A process that is killed starts again from the newest checkpoint.

    Raises:
        BitBloomError: a trial could not run; the processes of the others are killed first.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", records.TRIAL, f"bitbloom.tasks.{task}.model", *ARCHITECTURES])
    waiting = deque((each, 1) for each in tasks)
    running: dict[int, tuple[ForkServerProcess, Task, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                each, attempt = waiting.popleft()
                process = context.Process(target=_process, args=(place(each), target, metric, each.until))
                process.start()
                running[process.sentinel] = process, each, attempt
            for ready in connection.wait(list(running)):
                assert isinstance(ready, int)
                process, each, attempt = running.pop(ready)
                process.join()
                if process.exitcode == 0:
                    yield each, records.read(place(each))
                else:
                    require_killed(process.exitcode or 0, each, attempt, place(each) / records.LOG)
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
    if attempt == ATTEMPTS:
        name = "with its server" if code > 0 else f"by {signal.Signals(-code).name}"
        raise BitBloomError(
            f"the process of trial {task.number} was killed {ATTEMPTS} times, {name}; with too little memory, use fewer WORKERS. "
            "The same command resumes the sweep"
        )


def _reason(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    written = [line.strip() for line in lines if line.strip()]
    return written[-1].removeprefix("error: ") if written else "its process ended without a message"
