"""Run trials with Ray Tune: on a cluster of this machine, or on the one that RAY_ADDRESS names.

Tune only places the trials and starts those again whose process is lost; which trials there are is the study's choice, so the
history has the same bytes as with local processes. Machines of a cluster need this checkout in a folder that they share.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.experiments import cluster
from bitbloom.experiments.sweep import records
from bitbloom.numerics import pins

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.run import Sweep
    from bitbloom.experiments.sweep.study import Progress, Task


_open: list[contextlib.ExitStack] = []
"""The connection of this process: one for all rungs and generations, because a cluster takes seconds to start."""


def execute(tasks: Sequence[Task], sweep: Sweep) -> Iterator[tuple[Task, Progress]]:
    """Run tasks as trials of one Tune experiment, WORKERS at a time.

    Raises:
        BitBloomError: a trial could not run.
    """
    _connect(str(sweep.tree.numerics.profile))
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(_trainable, {"cpu": 1}),
        param_space={"trial": tune.grid_search([sweep.described(task) for task in tasks])},
        tune_config=tune.TuneConfig(max_concurrent_trials=workers()),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str((sweep.folder / "ray").resolve()),
            failure_config=tune.FailureConfig(max_failures=records.ATTEMPTS - 1),
            verbose=0,
        ),
    )
    results = tuner.fit()
    for number, task in enumerate(tasks):
        if error := results[number].error:
            log = sweep.place(task) / records.LOG
            raise BitBloomError(f"trial {task.number} could not run with Ray: {str(error).splitlines()[-1]}; {log}")
        yield task, sweep.recorded(task)


def _connect(profile: str) -> None:
    """Join the cluster, or start one with WORKERS processes, until the end of this process. Every process has the pins."""
    if _open:  # an earlier rung of this search did
        return
    variables = pins.environment(profile) | {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}
    stack = contextlib.ExitStack()
    stack.enter_context(cluster.joined(workers(), "ENGINE=ray", variables))
    atexit.register(stack.close)
    _open.append(stack)


def _trainable(config: dict[str, Any]) -> None:
    """Run a trial in a child process, which ends with this one, and report the metric."""
    from ray import tune

    given = config["trial"]
    subprocess.run(records.command(given), check=True)
    curve = records.read(Path(given["place"]), given["inputs"]).curve
    tune.report({given["metric"]: curve[-1] if curve else float("nan"), "epochs": len(curve)})
