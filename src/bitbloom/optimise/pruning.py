"""Structured pruning of a transformer: it removes hidden units of MLPs and attention heads.

Pruning removes rows and columns of the matrices. The result is an ordinary, smaller network without masks, which is faster in
any runtime.

    units = pruning.find(network)
    pruning.prune(units, pruning.importance(units, losses), fraction=0.25)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitbloom.core.errors import BitBloomError

MLP, HEADS = "MLP units", "attention heads"
PRODUCERS_AND_CONSUMER: Mapping[tuple[str, ...], str] = {
    ("fc1",): "fc2",
    ("intermediate.dense",): "output.dense",
    ("q_proj", "k_proj", "v_proj"): "o_proj",
    ("self.query", "self.key", "self.value"): "output.dense",
}
"""Names of the layers that compute units and of the one that reads them, below a module of transformers' ViT, DINOv2 or BERT."""
SIZES_OF_HEADS = ("head_dim", "attention_head_size")


@dataclass(frozen=True)
class Units:
    """Units that pruning can remove: each is `size` rows of every layer in `producers`, and `size` columns of `consumer`.

    Attributes:
        name: of their module in the network.
        kind: MLP, whose units are 1 wide, or HEADS, whose units are as wide as a head.
        producers: linear layers [units × size, inputs].
        consumer: the only layer that reads their outputs, [outputs, units × size].
        size: rows of one unit.
    """

    name: str
    kind: str
    producers: tuple[nn.Linear, ...]
    consumer: nn.Linear
    size: int

    def __len__(self) -> int:
        return self.consumer.in_features // self.size


def find(network: nn.Module) -> list[Units]:
    """The MLPs and attentions of a network, in its order.

    Raises:
        BitBloomError: the network has no known MLP or attention.
    """
    found = [units for name, module in network.named_modules() if (units := _units(name, module))]
    if not found:
        raise BitBloomError(
            "the network has no MLP and no attention of transformers' ViT, DINOv2 or BERT: it cannot be pruned here"
        )
    return found


def _units(name: str, module: nn.Module) -> Units | None:
    """The units of a module, if it has the layers of an MLP or of an attention."""
    layers = dict(module.named_modules())
    for inputs, output in PRODUCERS_AND_CONSUMER.items():
        producers = tuple(layer for each in inputs if isinstance(layer := layers.get(each), nn.Linear))
        consumer = layers.get(output)
        if len(producers) == len(inputs) and isinstance(consumer, nn.Linear):
            heads = len(producers) > 1
            return Units(name, HEADS if heads else MLP, producers, consumer, _head_size(module) if heads else 1)
    return None


def _head_size(module: nn.Module) -> int:
    sizes = (getattr(part, name, None) for part in (module, *module.children()) for name in SIZES_OF_HEADS)
    return int(next(size for size in sizes if size))


def importance(found: Sequence[Units], losses: Iterable[Tensor]) -> list[Tensor]:
    """The first-order change of the loss without each unit: |Σ activation × gradient|, summed over samples.

    Molchanov et al. 2017 (arXiv:1611.06440) for units, Michel et al. 2019 (arXiv:1905.10650) for heads.

    Args:
        found: units of the network that computes the losses.
        losses: scalars, each computed lazily from a batch of samples.

    Returns:
        for each of `found` float32 [units].
    """
    seen: dict[int, Tensor] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[id(layer)] = inputs[0]

    totals = [torch.zeros(len(units)) for units in found]
    hooks = [units.consumer.register_forward_pre_hook(record) for units in found]
    try:
        for loss in losses:
            inputs = [seen[id(units.consumer)] for units in found]
            gradients = torch.autograd.grad(loss, inputs)
            for units, total, values, gradient in zip(found, totals, inputs, gradients, strict=True):
                total += contributions(values.detach() * gradient, units.size).abs().sum(dim=0)
    finally:
        for hook in hooks:
            hook.remove()
    return totals


def contributions(products: Tensor, size: int) -> Tensor:
    """[n, …, units × size] → the sum of each sample's and unit's entries, [n, units]."""
    summed = products.flatten(1, -2).sum(dim=1) if products.ndim > 2 else products
    return summed.reshape(len(summed), -1, size).sum(dim=2)


def removed(units: int, fraction: float) -> int:
    """The number of units to remove: a fraction of all, rounded down, such that at least one stays."""
    return min(math.floor(units * fraction), units - 1)


@torch.no_grad()
def prune(found: Sequence[Units], scores: Sequence[Tensor], fraction: float) -> None:
    """Remove the least important fraction of the units of every MLP and every attention, in place.

    Modules of equal size lose equally many units, and each keeps at least one. Of equal scores the first ones are removed.

    Raises:
        BitBloomError: the fraction is outside of 0 … 1.
    """
    if not 0 <= fraction <= 1:
        raise BitBloomError(f"the fraction {fraction} has to be between 0 and 1")
    for units, score in zip(found, scores, strict=True):
        order = torch.argsort(score, stable=True)
        keep(units, order[removed(len(units), fraction) :].sort().values)


@torch.no_grad()
def keep(units: Units, kept: Tensor) -> None:
    """Reduce the layers to these units, int64 [kept] in ascending order."""
    rows = (kept[:, None] * units.size + torch.arange(units.size)).flatten()
    for producer in units.producers:
        producer.weight = nn.Parameter(producer.weight[rows].clone())
        if producer.bias is not None:
            producer.bias = nn.Parameter(producer.bias[rows].clone())
        producer.out_features = len(rows)
    units.consumer.weight = nn.Parameter(units.consumer.weight[:, rows].clone())
    units.consumer.in_features = len(rows)


def load(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the state of a pruned network into a whole one, whose layers take the shapes of the state.

    Raises:
        BitBloomError: the state is not of a pruned form of this network.
    """
    names = {layer: name for name, layer in network.named_modules()}
    try:
        for units in find(network):
            width = state[f"{names[units.consumer]}.weight"].shape[1]
            keep(units, torch.arange(width // units.size))
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise BitBloomError(f"these weights are of no pruned form of the network: {str(error).splitlines()[0]}") from error


def parameters(network: nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
