"""Where a vision transformer looked: attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """How much of each input token is in each output token.

    Args:
        attentions: of each layer, the first one first: float32 [n, heads, t, t], rows that add up to 1.

    Returns:
        float32 [n, t, t], rows that add up to 1. Heads are averaged, and half of every layer is its residual connection.
    """
    same = torch.eye(attentions[0].shape[-1])
    flow, *later = [(each.mean(dim=1) + same) / 2 for each in attentions]
    for step in later:
        flow = step @ flow
    return flow


def patch_map(flow: Tensor, readers: Sequence[slice], grid: int) -> Tensor:
    """What the tokens that are read owe to each patch of the picture.

    Args:
        flow: as `rollout` gives it; the last grid² tokens are the patches, row by row.
        readers: the tokens that the classifier reads: the mean of each group counts as much as that of the others.
        grid: patches a side.

    Returns:
        float32 [n, grid, grid] that adds up to 1.
    """
    shares = torch.stack([flow[:, group].mean(dim=1) for group in readers]).mean(dim=0)[:, -grid * grid :]
    return (shares / shares.sum(dim=1, keepdim=True)).reshape(-1, grid, grid)
