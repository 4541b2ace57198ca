"""A linear layer with the same bits on every CPU, for any number of inputs and outputs.

Matrix libraries use special code for matrices with few rows or columns, and split sums of some lengths into other blocks;
both differ between CPUs. `bitbloom.numerics.subset` defines the portable shapes; `tests/reproducibility/test_other_cpus.py`
compares this layer between CPUs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from bitbloom.numerics.subset import FEWEST_COLUMNS, portable_terms

FEWEST_OUTPUTS = 16


class PortableLinear(nn.Linear):
    """`nn.Linear` with inputs and outputs zero-padded to a portable size; its state dict is that of an `nn.Linear`."""

    def forward(self, features: Tensor) -> Tensor:
        """float32 [..., in_features] → float32 [..., out_features]."""
        inputs = _portable(max(self.in_features, FEWEST_COLUMNS)) - self.in_features
        outputs = _portable(max(self.out_features, FEWEST_OUTPUTS)) - self.out_features
        if (
            inputs == outputs == 0 or torch.compiler.is_exporting()
        ):  # the pins do not apply to ONNX Runtime, which runs the exported graph
            return super().forward(features)
        bias = None if self.bias is None else pad(self.bias, (0, outputs))
        return linear(pad(features, (0, inputs)), pad(self.weight, (0, inputs, 0, outputs)), bias)[..., : self.out_features]

    @classmethod
    def of(cls, layer: nn.Module) -> PortableLinear:
        """Convert an `nn.Linear`. Raises TypeError for any other module."""
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"a {type(layer).__name__} is not a linear layer")
        converted = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        converted.load_state_dict(layer.state_dict())
        return converted


def _portable(count: int) -> int:
    """Return the smallest number of terms, `count` or more, whose sums are portable."""
    return count if portable_terms(count) else _portable(count + 1)
