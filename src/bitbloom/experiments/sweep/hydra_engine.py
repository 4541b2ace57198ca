"""Run trials as a Hydra multirun, with any of Hydra's launchers: HYDRA_LAUNCHER=basic (in turn), joblib, submitit_slurm, ….

    python -m bitbloom.experiments.sweep.hydra_engine --multirun tasks=FILE task=0,1,2

The launchers except `basic` are packages of their own. A launcher decides where a trial runs; the study decides which there
are, so the history has the same bytes as with local processes. Machines of a cluster need this checkout in a folder that they
share.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import end_with_parent
from bitbloom.experiments.sweep import records

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.run import Sweep
    from bitbloom.experiments.sweep.study import Progress, Task

TASKS = "hydra.json"


@dataclass
class Job:
    """The configuration of a job: a file of tasks, and the place of one in it."""

    tasks: str
    task: int


def execute(tasks: Sequence[Task], sweep: Sweep) -> Iterator[tuple[Task, Progress]]:
    """Run tasks as the jobs of one multirun.

    Raises:
        BitBloomError: a trial could not run, or the launcher is not installed.
    """
    file = sweep.folder / TASKS
    canonical.write_json(file, [sweep.described(task) for task in tasks])
    command = [sys.executable, "-m", __name__, "--multirun", f"tasks={file}", f"task={','.join(map(str, range(len(tasks))))}"]
    command += [f"hydra/launcher={os.environ.get('HYDRA_LAUNCHER', 'basic')}", f"hydra.sweep.dir={sweep.folder / 'hydra'}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = [(task, sweep.recorded(task)) for task in tasks]
    for task, progress in found:
        if done.returncode or not progress.reaches(task.until):
            lines = [line for line in done.stdout.splitlines() if line.strip()] or ["no message"]
            raise BitBloomError(f"trial {task.number} did not run with Hydra: {lines[-1]}; {sweep.place(task) / records.LOG}")
    yield from found


def run(job: Job) -> None:
    """A job: run its trial in a child process, which ends with this one; again if it is killed.

    Raises:
        CalledProcessError: the trial could not run.
    """
    command = records.command(canonical.read_json(Path(job.tasks))[job.task])
    for _ in range(records.ATTEMPTS):
        done = subprocess.run(command)
        if done.returncode >= 0:
            break
    done.check_returncode()


def main() -> None:
    """Entry point of a multirun, which ends with the sweep: only that has the lock of the search.

    Jobs of a queue such as Slurm's go on; a trial's own lock and record keep them from harm.
    """
    checkout.require()
    end_with_parent()
    import hydra
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="job", node=Job(tasks="", task=0))
    hydra.main(config_path=None, config_name="job", version_base="1.3")(run)()


if __name__ == "__main__":
    main()
