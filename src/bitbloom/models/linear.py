"""A linear layer with few outputs that gives the same bits on every CPU.

Matrix libraries take other paths for matrices with few rows or columns, and these paths differ between CPUs. From how many
rows and columns on they do not is in `bitbloom.numerics.subset`; `tests/reproducibility/test_other_cpus.py` compares this layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

FEWEST_OUTPUTS = 16


class PortableLinear(nn.Linear):
    """`nn.Linear` computed with zero rows added up to FEWEST_OUTPUTS, which are cut off again; its state is an `nn.Linear`'s."""

    def forward(self, features: Tensor) -> Tensor:
        """float32 [..., in_features] → float32 [..., out_features]."""
        missing = FEWEST_OUTPUTS - self.out_features
        if missing <= 0 or torch.compiler.is_exporting():  # an exported graph runs on ONNX Runtime, which no pin reaches
            return super().forward(features)
        bias = None if self.bias is None else pad(self.bias, (0, missing))
        return linear(features, pad(self.weight, (0, 0, 0, missing)), bias)[..., : self.out_features]

    @classmethod
    def of(cls, layer: nn.Module) -> PortableLinear:
        """The same layer, computed portably. Raises TypeError for anything but an `nn.Linear`."""
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"a {type(layer).__name__} is no linear layer")
        made = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        made.load_state_dict(layer.state_dict())
        return made
