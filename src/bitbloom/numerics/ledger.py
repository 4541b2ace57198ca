"""The step ledger: one canonical JSON line a training step, by which two runs are compared.

A line holds the SHA-256 of the batch, the loss, and a checksum of the gradient and of the weights: the sum over all
elements of (raw bits) × (2·position + 1) modulo 2^64. It is exact, so its order of summation does not matter, and
it changes when one bit or the order of two different elements changes. Where a checkpoint is due, and at the end, a
line also holds the SHA-256 of the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch

CHUNK = 1 << 15
"""Elements at a time: their 64-bit copies stay in the nearest cache."""


def checksum(flat: torch.Tensor, worker: int = 0, world: int = 1, chunk: int = CHUNK) -> int:
    """A worker's share of the checksum of a contiguous float32 tensor [n] that all workers hold, as a signed 64-bit number.

    `total` makes the checksum of all shares; the share of the only worker is all of it.
    """
    bits = flat.detach().view(torch.int32)
    odd = torch.arange(1, 2 * chunk + 1, 2, dtype=torch.int64, device=flat.device)
    share = 0
    for start in range(worker * chunk, bits.numel(), world * chunk):
        part = bits[start : start + chunk].to(torch.int64)
        # Σ bits·(2(start + i) + 1) = Σ bits·(2i + 1) + 2·start·Σ bits
        share += _dot(part, odd[: part.numel()]) + 2 * start * int(part.sum())
    return (share + (1 << 63)) % (1 << 64) - (1 << 63)


def total(shares: Iterable[int]) -> int:
    """The checksum modulo 2^64 of the workers' shares of it."""
    return sum(shares) % (1 << 64)


def _dot(one: torch.Tensor, other: torch.Tensor) -> int:
    """Σ one·other modulo 2^64; CUDA has no `dot` of integers."""
    return int(torch.dot(one, other)) if one.device.type == "cpu" else int((one * other).sum())


def tensors_digest(tensors: Iterable[torch.Tensor]) -> bytes:
    """SHA-256 over the raw bytes of tensors, in order (32 bytes)."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return sha.digest()


def combined(digests: torch.Tensor) -> str:
    """SHA-256 of the micro-batches' digests, uint8 [micro_batches, 32], in index order."""
    return hashlib.sha256(digests.cpu().numpy().tobytes()).hexdigest()


def digest(flat: torch.Tensor) -> str:
    """SHA-256 of a flat tensor's raw bytes."""
    return tensors_digest([flat]).hex()


def entry(step: int, batch: str, loss: float, gradient: int, weights: int) -> dict[str, int | float | str]:
    """A ledger line: checksums as 16 hexadecimal digits."""
    return {"step": step, "batch": batch, "loss": loss, "gradient": f"{gradient:016x}", "weights": f"{weights:016x}"}
