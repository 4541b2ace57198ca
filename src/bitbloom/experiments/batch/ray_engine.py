"""Parts computed by Ray Data on this machine: `--engine ray`. Each worker is a process with an open model.

Ray restarts a worker that is killed, and repeats the part that it had begun. No dashboard, no usage statistics; addresses are of
the loopback interface.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments import cluster
from bitbloom.experiments.batch.work import Job, Worker


class PartWorker:
    """The class that Ray Data calls with batches of one part."""

    def __init__(self, job: Job) -> None:
        self.worker = Worker(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Compute the part of a batch. Returns its number of `predictions`, and an `error`, which is empty without one."""
        try:
            return {"predictions": [sum(self.worker.compute(batch["part"].tolist()))], "error": [""]}
        except BitBloomError as error:  # raised here, it would become pages of Ray's log
            return {"predictions": [0], "error": [str(error)]}


def compute(job: Job, numbers: Sequence[int], processes: int) -> Iterator[int]:
    """Compute parts in `processes` processes, and yield the number of predictions of each finished one.

    Raises:
        BitBloomError: Ray is not installed, or a worker failed.
    """
    with cluster.started(processes, "--engine ray") as ray:
        from ray.data import ActorPoolStrategy, DataContext

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        parts = ray.data.from_items([{"part": number} for number in numbers], override_num_blocks=len(numbers))
        done = parts.map_batches(
            PartWorker,
            fn_constructor_args=(job,),
            batch_size=1,
            num_cpus=1,
            compute=ActorPoolStrategy(size=min(processes, len(numbers))),
        )
        try:
            for row in done.iter_rows():
                if row["error"]:
                    raise BitBloomError(row["error"])
                yield int(row["predictions"])
        except ray.exceptions.RayError as error:
            raise BitBloomError(f"Ray failed: {str(error).strip().splitlines()[-1]} (its logs: {cluster.STATE})") from error
