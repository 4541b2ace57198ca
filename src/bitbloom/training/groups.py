"""Parameter groups of the optimiser: learning rates and weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn

from bitbloom.models.layers import LAYER

if TYPE_CHECKING:
    from bitbloom.config.sections.train import Train


def parameter_groups(network: nn.Module, head: Iterable[nn.Parameter], train: Train) -> list[dict[str, Any]]:
    """Return optimiser groups (`params`, `lr`, `weight_decay`): matrices have weight decay, biases and norms do not.

    The `head` has `train.head_learning_rate`. Below it, the learning rate decreases by `train.layer_decay` per layer: the first
    layers of a pretrained network are the most general and change least (Clark et al. 2020, arXiv:2003.10555).
    """
    of_head = {id(parameter) for parameter in head}
    trainable = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    depths = {name: _depth(name) for name in trainable}
    top = max(depths.values(), default=0) + 1
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        rate = train.learning_rate
        if id(parameter) in of_head:
            rate = train.head_learning_rate or rate
        else:
            for _ in range(top - (depths[name] or top)):  # no power: its last bit depends on the C library
                rate *= train.layer_decay
        groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": members, "lr": rate, "weight_decay": train.weight_decay if decays else 0.0}
        for (rate, decays), members in groups.items()
    ]


def _depth(name: str) -> int:
    """Return the depth of a parameter: layers count from 2, embeddings are 1, parameters after the layers are 0."""
    layer = LAYER.search(name)
    if layer:
        return int(layer[1]) + 2
    return 1 if "embeddings" in name else 0
