"""Parts computed by Ray Data on this machine: `--engine ray`. Each worker is a process with an open model.

Ray restarts a worker that is killed, and repeats the part that it had begun. No dashboard, no usage statistics; addresses are of
the loopback interface.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.batch.work import Job, Worker

STATE = Path(".bitbloom/ray")
"""Files of the cluster, with its logs. They stay when a run fails."""
LONGEST = 40
"""Characters of that folder's absolute path: Ray adds the names of sockets, and Linux limits a socket's path to 107 bytes."""
STORE_BYTES = 100_000_000
"""Ray's shared memory: numbers of parts and of predictions are all that passes through it."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # without it Ray replaces the loopback address by that of the network, on Linux
}
"""Environment variables that Ray reads when it is imported, and that its processes inherit."""


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
    os.environ.update(SETTINGS)
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
    except ModuleNotFoundError as error:
        raise BitBloomError("--engine ray needs Ray of requirements-dev.lock: `make ci-setup` installs it") from error
    with _cluster(ray, processes):
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
            raise BitBloomError(f"Ray failed: {str(error).strip().splitlines()[-1]} (its logs: {STATE})") from error


@contextlib.contextmanager
def _cluster(ray: Any, processes: int) -> Iterator[None]:
    """A cluster of this machine for the duration of the block."""
    with _folder() as folder:
        try:
            ray.init(
                address="local",
                num_cpus=processes,
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                logging_level="ERROR",
                log_to_driver=False,
                _temp_dir=str(folder),
            )
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """The folder of the cluster: in `.bitbloom`, or where that path is too long, in the system's folder of temporary files."""
    own = STATE.resolve() / str(os.getpid())
    if len(os.fsencode(own)) > LONGEST:
        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    own.mkdir(parents=True, exist_ok=True)
    yield own
    shutil.rmtree(own, ignore_errors=True)
