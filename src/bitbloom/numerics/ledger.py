"""The step ledger: one canonical JSON line per training step, to compare two runs.

A line holds the SHA-256 of the batch, the loss, and a checksum of the gradient and of the weights: the sum over all
elements of (raw bits) × (2·position + 1) modulo 2^64. It is exact, so its order of summation does not matter, and
it changes when one bit or the order of two different elements changes. At checkpoints and at the end, a line also holds
the SHA-256 of the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import nn

CHUNK = 1 << 17
"""Elements per chunk: their 64-bit copies stay in the cache."""
COLUMNS = 256


def checksum(flat: torch.Tensor, worker: int = 0, world: int = 1, chunk: int = CHUNK) -> int:
    """Return a worker's partial checksum of a contiguous float32 tensor [n] that all workers hold: a signed 64-bit number.

    `total` combines the partial checksums; with one worker, the partial checksum is the whole one.
    """
    bits = flat.detach().view(torch.int32)
    partial = 0
    for start in range(worker * chunk, bits.numel(), world * chunk):
        block = bits[start : start + chunk]
        table = nn.functional.pad(block, (0, -block.numel() % COLUMNS)).view(-1, COLUMNS).to(torch.int64)
        rows, columns = table.sum(1), table.sum(0)
        # The position of an element is start + COLUMNS·row + column, so only sums of rows and columns are multiplied.
        partial += 2 * _dot(rows, torch.arange(len(rows), device=flat.device) * COLUMNS + start)
        partial += _dot(columns, torch.arange(COLUMNS, device=flat.device) * 2 + 1)
    return (partial + (1 << 63)) % (1 << 64) - (1 << 63)


def total(partials: Iterable[int]) -> int:
    """Combine the workers' partial checksums, modulo 2^64."""
    return sum(partials) % (1 << 64)


def _dot(one: torch.Tensor, other: torch.Tensor) -> int:
    """Return Σ one·other modulo 2^64; CUDA has no `dot` of integers."""
    return int(torch.dot(one, other)) if one.device.type == "cpu" else int((one * other).sum())


def tensors_digest(tensors: Iterable[torch.Tensor]) -> bytes:
    """Return the SHA-256 of the raw bytes of tensors, in order (32 bytes)."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return sha.digest()


def combined(digests: torch.Tensor) -> str:
    """Return the SHA-256 of the micro-batches' digests, uint8 [micro_batches, 32], in index order."""
    return hashlib.sha256(digests.cpu().numpy().tobytes()).hexdigest()


def digest(flat: torch.Tensor) -> str:
    """Return the SHA-256 of a flat tensor's raw bytes."""
    return tensors_digest([flat]).hex()


def entry(step: int, batch: str, loss: float, gradient: int, weights: int) -> dict[str, int | float | str]:
    """Return a ledger line, with checksums as 16 hexadecimal digits."""
    return {"step": step, "batch": batch, "loss": loss, "gradient": f"{gradient:016x}", "weights": f"{weights:016x}"}
