"""Run trials in processes of this machine, several at a time.

Each task has a process of its own. They are forked from one server that imported PyTorch once, so a task starts in milliseconds,
and a process that fails or is killed takes no other with it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import records

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.study import Progress, Task

ARCHITECTURES = tuple(f"transformers.models.{name}.modeling_{name}" for name in ("vit", "dinov2", "bert"))
"""The networks import these when they are built; here they are imported once, which saves each trial seconds."""
ATTEMPTS = 3
"""Times that a task starts when its process is killed, each from its newest checkpoint."""


def execute(
    tasks: Sequence[Task], target: str, task: str, metric: str, place: Callable[[Task], Path], at_a_time: int
) -> Iterator[tuple[Task, Progress]]:
    """Run tasks, at most `at_a_time` together, and yield them as they end. `place` gives the folder of one.

    Raises:
        BitBloomError: a trial could not run; the others that started are ended first.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", records.TRIAL, f"bitbloom.tasks.{task}.model", *ARCHITECTURES])
    with ThreadPoolExecutor(at_a_time) as pool:
        running = {pool.submit(_attend, context, place(each), target, metric, each): each for each in tasks}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _process(place: Path, target: str, metric: str, until: int | None) -> None:
    from bitbloom.experiments.sweep import trial

    trial.process(place, target, metric, until)


def _attend(context: ForkServerContext, place: Path, target: str, metric: str, task: Task) -> Progress:
    """Run a task in a process, again if it is killed, and return what is known of the trial after it."""
    code = 0
    for _ in range(ATTEMPTS):
        process = context.Process(target=_process, args=(place, target, metric, task.until))
        process.start()
        process.join()
        code = process.exitcode or 0
        if code == 0:
            return records.read(place)
        if code > 0:
            raise BitBloomError(
                f"trial {task.number} ({' '.join(task.overrides)}): {_reason(place / records.LOG)}; {place / records.LOG}"
            )
    name = signal.Signals(-code).name
    raise BitBloomError(
        f"the process of trial {task.number} was killed {ATTEMPTS} times, by {name}; with too little memory, use fewer WORKERS. "
        "The same command resumes the sweep"
    )


def _reason(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    written = [line.strip() for line in lines if line.strip()]
    return written[-1].removeprefix("error: ") if written else "its process ended without a message"
