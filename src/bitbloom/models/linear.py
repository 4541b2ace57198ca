"""A linear layer that gives the same bits on every CPU, however many inputs and outputs it has.

Matrix libraries take other paths for matrices with few rows or columns, and cut sums of some lengths into other blocks; both
differ between CPUs. Where they do not is in `bitbloom.numerics.subset`; `tests/reproducibility/test_other_cpus.py` compares
this layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from bitbloom.numerics.subset import FEWEST_COLUMNS, portable_terms

FEWEST_OUTPUTS = 16


class PortableLinear(nn.Linear):
    """`nn.Linear` computed with zeros added to its inputs and outputs, which are cut off again; its state is an `nn.Linear`'s."""

    def forward(self, features: Tensor) -> Tensor:
        """float32 [..., in_features] → float32 [..., out_features]."""
        inputs = _portable(max(self.in_features, FEWEST_COLUMNS)) - self.in_features
        outputs = _portable(max(self.out_features, FEWEST_OUTPUTS)) - self.out_features
        if inputs == outputs == 0 or torch.compiler.is_exporting():  # no pin reaches ONNX Runtime, where a graph runs
            return super().forward(features)
        bias = None if self.bias is None else pad(self.bias, (0, outputs))
        return linear(pad(features, (0, inputs)), pad(self.weight, (0, inputs, 0, outputs)), bias)[..., : self.out_features]

    @classmethod
    def of(cls, layer: nn.Module) -> PortableLinear:
        """The same layer, computed portably. Raises TypeError for anything but an `nn.Linear`."""
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"a {type(layer).__name__} is no linear layer")
        made = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        made.load_state_dict(layer.state_dict())
        return made


def _portable(count: int) -> int:
    """The least number from `count` on whose sums are portable."""
    return count if portable_terms(count) else _portable(count + 1)
