"""Low-rank adaptation of linear layers (LoRA; Hu et al. 2021, arXiv:2106.09685), as a parametrisation of their weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils import parametrize

from bitbloom.core.errors import BitBloomError
from bitbloom.models import initialise
from bitbloom.numerics.subset import FEWEST_COLUMNS

if TYPE_CHECKING:
    from bitbloom.config.sections.train import Lora


class LowRank(nn.Module):
    """Adds a product of two matrices to a weight. At first it is zero: `up` is zero, and `down` has random values.

    Args:
        weight: float32 [outputs, inputs].
        lora: rank and scale of the product.
    """

    def __init__(self, weight: Tensor, lora: Lora) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(initialise.bell(torch.Size((lora.rank, inputs))) / math.sqrt(inputs))
        self.up = nn.Parameter(torch.zeros(outputs, lora.rank))
        self.scale = lora.alpha / lora.rank
        self.padding = max(0, FEWEST_COLUMNS - lora.rank)  # smaller matrix products differ between CPUs

    def forward(self, weight: Tensor) -> Tensor:
        """float32 [outputs, inputs] → the same shape."""
        product: Tensor = pad(self.up, (0, self.padding)) @ pad(self.down, (0, 0, 0, self.padding))
        return weight + product * self.scale


def adapt(network: nn.Module, lora: Lora) -> None:
    """Adapt the trainable linear layers named in `lora.targets`, and freeze everything except them and `lora.full`.

    Raises:
        BitBloomError: the network has no such layer.
    """
    trainable = {
        name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear) and layer.weight.requires_grad
    }
    chosen = [layer for name, layer in trainable.items() if _leaf(name) in lora.targets]
    if not chosen:
        there = ", ".join(sorted({_leaf(name) for name in trainable}))
        raise BitBloomError(
            f"train.lora.targets: no trainable linear layer is named {', '.join(lora.targets)}; there are: {there}"
        )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and bool(set(name.split(".")) & set(lora.full)))
    for layer in chosen:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, lora))


def merge(network: nn.Module) -> None:
    """Replace each adapted weight by its sum: the outputs keep their bits, and the names are those of the plain network."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
