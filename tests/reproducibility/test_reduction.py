"""Reduction of partial sums over a network and in shared memory: the bits of the tree sum for any number of workers."""

from __future__ import annotations

import random
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from bitbloom.numerics import reduction

SIZES = (1, 3, 1001)
ROUNDS = 3


def partial_sum(rank: int, size: int, number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 * number + 10 * size + rank)
    return torch.randn(size, generator=generator) * 10.0 ** (rank % 3)


def work(rank: int, world: int, folder: Path) -> None:
    """Run one worker, which compares its total with the tree sum and then overwrites it, like the optimiser."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=world)
    for size in SIZES:
        for same_machine in (False, True):
            all_tree_sum = reduction.all_tree_sum(rank, world, same_machine, size)
            memory = getattr(all_tree_sum, "memory", torch.empty(size))
            for number in range(ROUNDS):
                expected = reduction.tree_sum(partial_sum(each, size, number) for each in range(world))
                own = partial_sum(rank, size, number)
                found = all_tree_sum(memory.copy_(own) if number % 2 else own)
                assert torch.equal(found.view(torch.int32), expected.view(torch.int32)), (size, same_machine, number)
                time.sleep(random.uniform(0, 0.01))
                found.fill_(float("nan"))
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)])
def test_every_worker_has_the_bits_of_the_tree(tmp_path, world):
    context = get_context("spawn")
    workers = [context.Process(target=work, args=(rank, world, tmp_path)) for rank in range(world)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0] * world
