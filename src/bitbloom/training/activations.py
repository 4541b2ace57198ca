"""Gradient checkpointing: activations that the backward pass computes again (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

from torch import nn

from bitbloom.core.errors import BitBloomError


def recompute(network: nn.Module) -> None:
    """Keep only the inputs of each layer of a transformer for the backward pass. Dropout is drawn again with the same bits.

    Raises:
        BitBloomError: the network has no transformer of the `transformers` package.
    """
    from transformers import PreTrainedModel

    models = [module for module in network.modules() if isinstance(module, PreTrainedModel)]
    able = [model for model in models if model.supports_gradient_checkpointing]
    if not able:
        raise BitBloomError("train.checkpointing works for transformers: this network has none, so set train.checkpointing=false")
    for model in able:
        # Without re-entry, the graph of the backward pass, and so the order of its sums, stays the same.
        model.activation_checkpointing_enable({"use_reentrant": False})
