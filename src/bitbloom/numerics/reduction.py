"""Ordered reduction: a sum whose bits do not depend on how many workers took part.

Floating-point addition is not associative, so the sum is defined by its shape: a balanced binary tree over the
index of the micro-batch, a power of two of them. A worker holds an aligned block, which is a subtree, sums it alone,
and workers exchange one partial sum each; the rest of the tree is the same on every worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist

from bitbloom.core.errors import BitBloomError


class TreeSum:
    """Adds tensors in index order, pairing equal-sized subtrees as they complete: O(log n) tensors are held.

    Args:
        release: gets each tensor that was added to another and is free for use again.
    """

    def __init__(self, release: Callable[[torch.Tensor], None] = lambda _: None) -> None:
        self._partial: list[tuple[int, torch.Tensor]] = []
        self._release = release

    def add(self, leaf: torch.Tensor) -> None:
        """Append the next leaf. It is taken over and may be written to."""
        size, total = 1, leaf
        while self._partial and self._partial[-1][0] == size:
            _, left = self._partial.pop()
            left.add_(total)
            self._release(total)
            size, total = size * 2, left
        self._partial.append((size, total))

    def total(self) -> torch.Tensor:
        """The sum, in the place of the first leaf. Raises ValueError unless a power of two of leaves was added."""
        if len(self._partial) != 1:
            raise ValueError("a balanced tree needs a power of two of leaves")
        return self._partial[0][1]


def tree_sum(leaves: Iterable[torch.Tensor]) -> torch.Tensor:
    """Balanced binary tree sum of a power of two of tensors of one shape."""
    tree = TreeSum()
    for leaf in leaves:
        tree.add(leaf.clone())
    return tree.total()


def blocks(micro_batches: int, world: int) -> int:
    """Micro-batches a worker computes.

    Raises:
        BitBloomError: a count is not a power of two, or there are more workers than micro-batches.
    """
    for name, number in (("numerics.micro_batches", micro_batches), ("the number of workers", world)):
        if number < 1 or number & (number - 1):
            raise BitBloomError(f"{name} is {number}: it has to be a power of two")
    if world > micro_batches:
        raise BitBloomError(f"{world} workers for {micro_batches} micro-batches: use {micro_batches} workers or fewer")
    return micro_batches // world


def all_tree_sum(rank: int, world: int, neighbours: bool, size: int) -> AllTreeSum | SharedTreeSum:
    """What adds up the workers' partial sums, float32 [size]; `neighbours` says that all workers are on one machine."""
    if neighbours and hasattr(os, "memfd_create"):  # Linux
        return SharedTreeSum(rank, world, size)
    return AllTreeSum(rank, world)


class AllTreeSum:
    """The top of the tree, over a network: combines the workers' partial sums, and gives every worker the same total.

    Recursive doubling: in each of log2(world) rounds a worker swaps its partial sum with the worker that holds the
    neighbouring subtree, and both add the two. `left + right` has the bits of `right + left`, so no one needs to know its side.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._received: torch.Tensor | None = None  # kept: fresh memory of a model's size costs more than the addition

    def __call__(self, partial: torch.Tensor) -> torch.Tensor:
        """The total, in place of the partial sum."""
        distance = 1
        while distance < self.world:
            partial.add_(self._swap(partial.cpu(), self.rank ^ distance).to(partial.device))  # gloo knows no GPU
            distance *= 2
        return partial

    def _swap(self, mine: torch.Tensor, partner: int) -> torch.Tensor:
        if self._received is None or self._received.shape != mine.shape:
            self._received = torch.empty_like(mine)
        sent, received = dist.isend(mine, partner), dist.irecv(self._received, partner)
        for transfer in (sent, received):
            if transfer is not None:
                transfer.wait()
        return self._received


class SharedTreeSum:
    """The same in memory that workers of one machine share, where a network would copy every sum four times.

    Each worker adds up one slice of all partial sums; then each takes the whole.

    Attributes:
        memory: float32 [size], this worker's part: a partial sum that is made in it need not be copied there.
    """

    def __init__(self, rank: int, world: int, size: int) -> None:
        self.rank, self.world = rank, world
        # Memory without a name: nothing is left of it when the workers end, however they end. The others reach it by its number.
        file = os.memfd_create("partial sum")
        paths: list[Any] = [None] * world
        dist.all_gather_object(paths, f"/proc/{os.getpid()}/fd/{file}")
        self._partials = [torch.from_file(path, shared=True, size=size) for path in paths]
        self.memory = self._partials[rank]
        dist.barrier()
        os.close(file)

    def __call__(self, partial: torch.Tensor) -> torch.Tensor:
        """The total, in place of the partial sum, float32 [size]."""
        self.memory.copy_(partial)
        dist.barrier()
        tree = TreeSum()
        for each in self._partials:
            tree.add(each.tensor_split(self.world)[self.rank])
        dist.barrier()
        partial.copy_(self._partials[0])  # where the tree left its total
        dist.barrier()
        return partial


def all_in_order(rows: torch.Tensor, world: int) -> torch.Tensor:
    """Concatenate the workers' equally shaped tensors [n, …] in rank order to [world·n, …]."""
    if world == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world)]
    dist.all_gather(parts, rows)
    return torch.cat(parts)
