"""Attention maps of vision transformers: attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """Compute how much each input token contributes to each output token.

    Args:
        attentions: attention weights of each layer, in order: float32 [n, heads, t, t]; rows add up to 1.

    Returns:
        float32 [n, t, t]; rows add up to 1. Heads are averaged; the residual connection counts as half of every layer.
    """
    identity = torch.eye(attentions[0].shape[-1])
    flow, *later = [(layer.mean(dim=1) + identity) / 2 for layer in attentions]
    for step in later:
        flow = step @ flow
    return flow


def patch_map(flow: Tensor, pooled: Sequence[slice], grid: int) -> Tensor:
    """Compute how much each patch of the image contributes to the tokens that the classifier reads.

    Args:
        flow: the result of `rollout`; the last grid² tokens are the patches, row by row.
        pooled: groups of tokens that the classifier reads; the mean of each group has the same weight.
        grid: patches per side.

    Returns:
        float32 [n, grid, grid] that adds up to 1.
    """
    weights = torch.stack([flow[:, group].mean(dim=1) for group in pooled]).mean(dim=0)[:, -grid * grid :]
    return (weights / weights.sum(dim=1, keepdim=True)).reshape(-1, grid, grid)
