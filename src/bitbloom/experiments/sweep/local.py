"""Run trials in processes of this machine, several at a time.

Each task has a process of its own. They are forked from one server that imported PyTorch once, so a task starts in milliseconds,
and a process that fails or is killed takes no other with it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
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


def execute(tasks: Sequence[Task], sweep: Sweep) -> Iterator[tuple[Task, Progress]]:
    """Run tasks of a sweep, at most WORKERS together, and yield them as they end.

    Raises:
        BitBloomError: a trial could not run; the others that started are ended first.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", records.TRIAL, f"bitbloom.tasks.{sweep.tree.task}.model", *ARCHITECTURES])
    with ThreadPoolExecutor(workers()) as pool:
        running = {pool.submit(_attend, context, sweep, each): each for each in tasks}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _process(place: Path, target: str, metric: str, until: int | None) -> None:
    from bitbloom.experiments.sweep import trial

    trial.process(place, target, metric, until)


def _attend(context: ForkServerContext, sweep: Sweep, task: Task) -> Progress:
    """Run a task in a process, again if it is killed, and return what is known of the trial after it."""
    code, place = 0, sweep.place(task)
    for _ in range(records.ATTEMPTS):
        process = context.Process(target=_process, args=(place, sweep.space.target, sweep.space.metric, task.until))
        process.start()
        process.join()
        code = process.exitcode or 0
        if code == 0:
            return sweep.recorded(task)
        if code > 0:
            raise BitBloomError(
                f"trial {task.number} ({' '.join(task.overrides)}): {_reason(place / records.LOG)}; {place / records.LOG}"
            )
    name = signal.Signals(-code).name
    raise BitBloomError(
        f"the process of trial {task.number} was killed {records.ATTEMPTS} times, by {name}; "
        "with too little memory, use fewer WORKERS. The same command resumes the sweep"
    )


def _reason(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    written = [line.strip() for line in lines if line.strip()]
    return written[-1].removeprefix("error: ") if written else "its process ended without a message"
