"""Ordered reduction: a sum whose bits do not depend on the number of workers.

Floating-point addition is not associative, so the sum is defined by its shape: a balanced binary tree over the
indices of the micro-batches, whose number is a power of two. Each worker sums an aligned block, which is a subtree. The
workers then exchange one partial sum each; the rest of the tree is the same on every worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist

from bitbloom.core.errors import BitBloomError


class TreeSum:
    """Adds tensors in index order, and pairs equal-sized subtrees as they complete: O(log n) tensors in memory.

    Args:
        release: called with each tensor that was added to another one and can be reused.
    """

    def __init__(self, release: Callable[[torch.Tensor], None] = lambda _: None) -> None:
        self._partial: list[tuple[int, torch.Tensor]] = []
        self._release = release

    def add(self, leaf: torch.Tensor) -> None:
        """Append the next leaf. The tree owns it and may write to it."""
        size, total = 1, leaf
        while self._partial and self._partial[-1][0] == size:
            _, left = self._partial.pop()
            left.add_(total)
            self._release(total)
            size, total = size * 2, left
        self._partial.append((size, total))

    def total(self) -> torch.Tensor:
        """Return the sum, in the memory of the first leaf. Raises ValueError unless the number of leaves is a power of two."""
        if len(self._partial) != 1:
            raise ValueError("the number of leaves of a balanced tree has to be a power of two")
        return self._partial[0][1]


def tree_sum(leaves: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum tensors of one shape as a balanced binary tree; their number is a power of two."""
    tree = TreeSum()
    for leaf in leaves:
        tree.add(leaf.clone())
    return tree.total()


def blocks(micro_batches: int, world: int) -> int:
    """Return the number of micro-batches per worker.

    Raises:
        BitBloomError: a count is not a power of two, or there are more workers than micro-batches.
    """
    for name, number in (("numerics.micro_batches", micro_batches), ("the number of workers", world)):
        if number < 1 or number & (number - 1):
            raise BitBloomError(f"{name} is {number}: it has to be a power of two")
    if world > micro_batches:
        raise BitBloomError(f"{world} workers for {micro_batches} micro-batches: use at most {micro_batches} workers")
    return micro_batches // world


def all_tree_sum(rank: int, world: int, same_machine: bool, size: int) -> AllTreeSum | SharedTreeSum:
    """Return the reduction of the workers' partial sums, float32 [size]: in shared memory if all run on one machine."""
    if same_machine and hasattr(os, "memfd_create"):  # Linux
        return SharedTreeSum(rank, world, size)
    return AllTreeSum(rank, world)


class AllTreeSum:
    """The top of the tree, over a network: combines the workers' partial sums and gives every worker the same total.

    Recursive doubling: in each of log2(world) rounds, a worker exchanges its partial sum with the worker of the
    neighbouring subtree, and both add the two. `left + right` has the bits of `right + left`, so the order does not matter.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._received: torch.Tensor | None = None  # reused: new memory of a model's size costs more than the addition

    def __call__(self, partial: torch.Tensor) -> torch.Tensor:
        """Replace the partial sum by the total, and return it."""
        distance = 1
        while distance < self.world:
            partial.add_(self._exchange(partial.cpu(), self.rank ^ distance).to(partial.device))  # gloo does not support GPUs
            distance *= 2
        return partial

    def _exchange(self, own: torch.Tensor, partner: int) -> torch.Tensor:
        if self._received is None or self._received.shape != own.shape:
            self._received = torch.empty_like(own)
        sent, received = dist.isend(own, partner), dist.irecv(self._received, partner)
        for transfer in (sent, received):
            if transfer is not None:
                transfer.wait()
        return self._received


class SharedTreeSum:
    """The same reduction in shared memory of one machine, where a network would copy every sum four times.

    Each worker adds one slice of all partial sums, and then reads the complete total.

    Attributes:
        memory: float32 [size], this worker's shared memory: a partial sum computed in it needs no copy.
    """

    def __init__(self, rank: int, world: int, size: int) -> None:
        self.rank, self.world = rank, world
        # Anonymous memory: the system frees it when the workers end, even if killed. The others open it by its descriptor.
        file = os.memfd_create("partial sum")
        paths: list[Any] = [None] * world
        dist.all_gather_object(paths, f"/proc/{os.getpid()}/fd/{file}")
        self._partials = [torch.from_file(path, shared=True, size=size) for path in paths]
        self.memory = self._partials[rank]
        dist.barrier()
        os.close(file)

    def __call__(self, partial: torch.Tensor) -> torch.Tensor:
        """Replace the partial sum, float32 [size], by the total, and return it."""
        self.memory.copy_(partial)
        dist.barrier()
        tree = TreeSum()
        for shared in self._partials:
            tree.add(shared.tensor_split(self.world)[self.rank])
        dist.barrier()
        partial.copy_(self._partials[0])  # the first leaf holds the total of the tree
        dist.barrier()
        return partial


def all_in_order(rows: torch.Tensor, world: int) -> torch.Tensor:
    """Concatenate the equally shaped tensors [n, …] of all workers in rank order: [world·n, …]."""
    if world == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world)]
    dist.all_gather(parts, rows)
    return torch.cat(parts)
