"""Structured pruning of a transformer: whole hidden units of its MLPs and whole attention heads are taken out.

What goes are rows and columns of the matrices themselves, so the network that is left is an ordinary, smaller one: nothing is
masked, and any runtime gains from it.

    units = pruning.find(network)
    pruning.prune(units, pruning.importance(units, losses), share=0.25)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitbloom.core.errors import BitBloomError

MLP, HEADS = "MLP units", "attention heads"
WRITERS_AND_READER: Mapping[tuple[str, ...], str] = {
    ("fc1",): "fc2",
    ("intermediate.dense",): "output.dense",
    ("q_proj", "k_proj", "v_proj"): "o_proj",
    ("self.query", "self.key", "self.value"): "output.dense",
}
"""Names, below a module of transformers' ViT, DINOv2 or BERT, of the layers that write units and of the one that reads them."""
SIZES_OF_HEADS = ("head_dim", "attention_head_size")


@dataclass(frozen=True)
class Units:
    """Units that can be taken out: each is `size` rows of every layer in `writers`, and `size` columns of `reader`.

    Attributes:
        name: where they are in the network.
        kind: MLP, whose units are 1 wide, or HEADS, whose units are as wide as a head.
        writers: linear layers [units × size, inputs].
        reader: the only layer that sees what they write, [outputs, units × size].
        size: rows a unit.
    """

    name: str
    kind: str
    writers: tuple[nn.Linear, ...]
    reader: nn.Linear
    size: int

    def __len__(self) -> int:
        return self.reader.in_features // self.size


def find(network: nn.Module) -> list[Units]:
    """The MLPs and attentions of a network, in its order.

    Raises:
        BitBloomError: it has none that are known here.
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
    for writing, reading in WRITERS_AND_READER.items():
        writers = tuple(layer for each in writing if isinstance(layer := layers.get(each), nn.Linear))
        reader = layers.get(reading)
        if len(writers) == len(writing) and isinstance(reader, nn.Linear):
            heads = len(writers) > 1
            return Units(name, HEADS if heads else MLP, writers, reader, _head_size(module) if heads else 1)
    return None


def _head_size(module: nn.Module) -> int:
    sizes = (getattr(part, name, None) for part in (module, *module.children()) for name in SIZES_OF_HEADS)
    return int(next(size for size in sizes if size))


def importance(found: Sequence[Units], losses: Iterable[Tensor]) -> list[Tensor]:
    """How much the loss would change without each unit, to first order: |Σ activation × gradient|, added up over samples.

    Molchanov et al. 2017 (arXiv:1611.06440) for units, Michel et al. 2019 (arXiv:1905.10650) for heads.

    Args:
        found: units of the network that computes the losses.
        losses: scalars, each computed when it is asked for, of a batch of samples.

    Returns:
        for each of `found` float32 [units].
    """
    seen: dict[int, Tensor] = {}

    def remember(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[id(layer)] = inputs[0]

    totals = [torch.zeros(len(units)) for units in found]
    hooks = [units.reader.register_forward_pre_hook(remember) for units in found]
    try:
        for loss in losses:
            inputs = [seen[id(units.reader)] for units in found]
            gradients = torch.autograd.grad(loss, inputs)
            for units, total, values, gradient in zip(found, totals, inputs, gradients, strict=True):
                total += contributions(values.detach() * gradient, units.size).abs().sum(dim=0)
    finally:
        for hook in hooks:
            hook.remove()
    return totals


def contributions(products: Tensor, size: int) -> Tensor:
    """[n, …, units × size] → the sum of each sample's and unit's entries, [n, units]."""
    a_column = products.flatten(1, -2).sum(dim=1) if products.ndim > 2 else products
    return a_column.reshape(len(a_column), -1, size).sum(dim=2)


def removed(units: int, share: float) -> int:
    """How many of so many units a share of them is: rounded down, and one always stays."""
    return min(math.floor(units * share), units - 1)


@torch.no_grad()
def prune(found: Sequence[Units], scores: Sequence[Tensor], share: float) -> None:
    """Take the least important `share` of the units out of every MLP and every attention, in place.

    Each loses as many as every other of its size, and at least one unit stays. Of equal scores the first ones go.

    Raises:
        BitBloomError: a share outside of 0 … 1.
    """
    if not 0 <= share <= 1:
        raise BitBloomError(f"{share} is no share: it has to be between 0 and 1")
    for units, score in zip(found, scores, strict=True):
        order = torch.argsort(score, stable=True)
        keep(units, order[removed(len(units), share) :].sort().values)


@torch.no_grad()
def keep(units: Units, kept: Tensor) -> None:
    """Shrink the layers to some units, int64 [kept] in ascending order."""
    rows = (kept[:, None] * units.size + torch.arange(units.size)).flatten()
    for writer in units.writers:
        writer.weight = nn.Parameter(writer.weight[rows].clone())
        if writer.bias is not None:
            writer.bias = nn.Parameter(writer.bias[rows].clone())
        writer.out_features = len(rows)
    units.reader.weight = nn.Parameter(units.reader.weight[:, rows].clone())
    units.reader.in_features = len(rows)


def load(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a whole network the state of a pruned one of its kind: its layers shrink to the shapes that the state has.

    Raises:
        BitBloomError: the state is not of such a network.
    """
    names = {layer: name for name, layer in network.named_modules()}
    try:
        for units in find(network):
            width = state[f"{names[units.reader]}.weight"].shape[1]
            keep(units, torch.arange(width // units.size))
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise BitBloomError(f"these weights are of no pruned form of the network: {str(error).splitlines()[0]}") from error


def parameters(network: nn.Module) -> int:
    """How many numbers a network has learned."""
    return sum(parameter.numel() for parameter in network.parameters())
