"""Worker processes of a training: this process and spawned ones, or the processes of `torchrun`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch.distributed as dist

from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers


@dataclass(frozen=True)
class Worker:
    """The rank of this process among the workers."""

    rank: int = 0
    world: int = 1
    same_machine: bool = False
    """Whether all workers run on this machine."""

    @property
    def first(self) -> bool:
        """Whether this worker writes the outputs."""
        return self.rank == 0


def launch(function: Callable[..., None], most: int, *arguments: Any) -> None:
    """Call `function(worker, *arguments)` in every worker and wait.

    With `torchrun`, the workers are its processes, on one or more machines. Otherwise their number is the largest power of two
    up to `WORKERS` (or the number of cores) and up to `most`. Only the first worker reports a BitBloomError.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        with _group("env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), same_machine=False) as worker:
            function(worker, *arguments)
        return
    world = min(1 << (workers().bit_length() - 1), most)
    if world == 1:
        function(Worker(), *arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{Path(folder) / 'rendezvous'}"
        context = get_context("spawn")
        others = [
            context.Process(target=_join, args=(meeting, rank, world, function, arguments), daemon=True)
            for rank in range(1, world)
        ]
        for process in others:
            process.start()
        _join(meeting, 0, world, function, arguments)
        for process in others:
            process.join()


def _join(meeting: str, rank: int, world: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    try:
        with _group(meeting, rank, world, same_machine=True) as worker:
            function(worker, *arguments)
    except BitBloomError:
        if rank == 0:
            raise
        sys.exit(1)


@contextmanager
def _group(meeting: str, rank: int, world: int, same_machine: bool) -> Iterator[Worker]:
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    try:
        yield Worker(rank, world, same_machine)
    finally:
        dist.destroy_process_group()
