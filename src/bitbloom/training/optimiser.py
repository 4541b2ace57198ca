"""AdamW over one flat buffer of weights, with a piecewise linear schedule, clipping and an optional moving average.

All parameters are views of one float32 buffer, and the gradient of a micro-batch is one flat tensor: an addition and a
checksum are one pass each, and an exchange between workers is one message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from bitbloom.config.sections.train import Train


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the factor of the learning rate in step 0 … steps - 1: linear warmup over `warmup`, then linear decay to zero."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising + 1)


class Optimiser:
    """Weights and AdamW state of a network.

    Attributes:
        weights: float32 [p], the trainable parameters in order; the network's parameters are views of it.
        average: float32 [p], the moving average of the weights, or None.
    """

    def __init__(self, network: nn.Module, groups: list[dict[str, Any]], config: Train) -> None:
        self.config = config
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.weights = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        for parameter, part in zip(self.parameters, self.split(self.weights), strict=True):
            parameter.data = part
        self.average = self.weights.clone() if config.ema else None
        self.rates = [group["lr"] for group in groups]
        # The fused kernel uses plain arithmetic only; the unfused one takes square roots through MKL.
        self.adamw = torch.optim.AdamW(groups, fused=True)
        self._pool: list[Tensor] = []

    def split(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat tensor [p] in the shapes of the parameters."""
        parts = flat.split_with_sizes([parameter.numel() for parameter in self.parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]

    def take_gradient(self) -> Tensor:
        """Return the gradient of the last backward pass, float32 [p], and clear it in the parameters."""
        flat = self._pool.pop() if self._pool else torch.empty_like(self.weights)
        gradients = (torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self.parameters)
        torch.cat([gradient.reshape(-1) for gradient in gradients], out=flat)
        self._clear_gradients()
        return flat

    def release(self, gradient: Tensor) -> None:
        """Return a tensor of `take_gradient` to the pool for reuse."""
        self._pool.append(gradient)

    def step(self, gradient: Tensor, step: int, steps: int) -> None:
        """Update the weights with a mean gradient, float32 [p], in step `step` of `steps`; the gradient is clipped in place."""
        if self.config.clip:
            norm = float(torch.linalg.vector_norm(gradient))
            if norm > self.config.clip:
                gradient.mul_(self.config.clip / norm)
        for parameter, part in zip(self.parameters, self.split(gradient), strict=True):
            parameter.grad = part
        factor = learning_rate_factor(step, steps, self.config.warmup)
        for group, rate in zip(self.adamw.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.adamw.step()
        self._clear_gradients()
        if self.average is not None:
            # The decay grows with the number of steps, so that the random start has little weight (Polyak averaging first).
            decay = min(self.config.ema, (1 + step) / (10 + step))
            self.average.lerp_(self.weights, 1 - decay)

    def _clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Return all state that the next step depends on, as named tensors."""
        tensors = {"weights": self.weights}
        if self.average is not None:
            tensors["average"] = self.average
        for number, state in self.adamw.state_dict()["state"].items():
            tensors |= {f"adamw.{number}.{name}": value for name, value in state.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the result of `state`."""
        self.weights.copy_(tensors["weights"])
        if self.average is not None:
            self.average.copy_(tensors["average"])
        saved = self.adamw.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("adamw."):
                _, number, key = name.split(".")
                states.setdefault(int(number), {})[key] = value
        self.adamw.load_state_dict({"state": states, "param_groups": saved["param_groups"]})
