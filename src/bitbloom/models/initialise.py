"""Random initial weights with the same bits on every CPU.

`trunc_normal_` uses `erfinv`, and `normal_` uses `log` and `cos` on whole tensors, which vector-math libraries compute
differently on different CPUs. A sum of uniform integers (Irwin–Hall) is exact and approximates a normal distribution.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TERMS = 12
"""Uniform terms per draw: the variance of their sum is exactly one, and every draw is within six deviations."""
BITS = 20
EMBEDDING_STD = 0.02
"""Standard deviation of token and position embeddings (ViT and BERT)."""


def bell(shape: torch.Size) -> Tensor:
    """Draw float32 values of mean 0 and variance 1 from torch's global generator, by integers and one exact scaling."""
    total = torch.zeros(shape, dtype=torch.int64)
    for _ in range(TERMS):
        total += torch.randint(0, 1 << BITS, shape)
    return (total - (TERMS * ((1 << BITS) - 1)) // 2).to(torch.float32) / float(1 << BITS)


@torch.no_grad()
def portable(network: nn.Module) -> None:
    """Initialise every parameter: norms to one, biases to zero, matrices by fan-in, embeddings by EMBEDDING_STD.

    Convolutions follow He et al. 2015, linear layers LeCun et al. 1998. At the widths used here, the deviation of 0.02 of large
    models leaves attention nearly uniform for the first epochs.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            parameter.copy_(_values(module, name, parameter))


@torch.no_grad()
def zero(head: nn.Module) -> None:
    """Zero-initialise a new head on a pretrained backbone: a random head would distort its features (Kumar et al. 2022)."""
    for parameter in head.parameters():
        parameter.zero_()


def _values(module: nn.Module, name: str, parameter: Tensor) -> Tensor:
    if name == "bias":
        return torch.zeros_like(parameter)
    if isinstance(module, nn.LayerNorm | nn.GroupNorm) or name == "lambda1":
        return torch.ones_like(parameter)
    if isinstance(module, nn.Conv2d | nn.Linear):
        gain, fan_in = (2.0 if isinstance(module, nn.Conv2d) else 1.0), parameter[0].numel()
        return bell(parameter.shape) * math.sqrt(gain / fan_in)
    return bell(parameter.shape) * EMBEDDING_STD
