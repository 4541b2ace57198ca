"""The configurations at the ends of a space, and what they tell about it before any trial runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from bitbloom.config.target import part
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import inputs, study
from bitbloom.pipeline import composition, graph
from bitbloom.stages import STAGES

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.space import Space


def ends(space: Space) -> list[DictConfig]:
    """The configurations without a searched value, with all smallest values, with all largest, and with each choice alone.

    Raises:
        BitBloomError: a key is unknown, or a value has a wrong type.
    """
    intervals = [
        [parameter.override(end) for parameter in space.searched if (end := parameter.end(high)) is not None] for high in (0, 1)
    ]
    choices = [[f"{parameter.key}={choice}"] for parameter in space.searched for choice in parameter.choices]
    return [composition.compose(space.target, (*space.set, *each)) for each in ([], *intervals, *choices)]


def check(space: Space, trees: Sequence[DictConfig]) -> int:
    """Check these configurations of a space: no key changes the data, and every rung has a checkpoint.

    Returns the number of epochs, the largest one.

    Raises:
        BitBloomError: a key changes the data, or a rung is between checkpoints.
    """
    if changed := sorted({name for tree in trees for name in inputs.changed(_fixed(tree), _fixed(trees[0]))}):
        raise BitBloomError(
            f"parameters: a searched key changes {', '.join(changed)}, so trials would be measured on other data: "
            "give every trial one value (set: [key=value]), or write a space for each"
        )
    epochs = max(int(tree.train.epochs) for tree in trees)
    _check_rungs(space, trees, epochs)
    return epochs


def _fixed(tree: DictConfig) -> dict[str, Any]:
    """What all trials have in common: the sections that make the data with its splits, and the pins of the processes."""
    keys = {key for stage in STAGES[: STAGES.index("features")] for key in graph.declared(stage, "READS")}
    plain: Any = OmegaConf.to_container(tree)
    return part(plain, sorted(keys)) | {"numerics.profile": tree.numerics.profile}


def _check_rungs(space: Space, trees: Sequence[DictConfig], epochs: int) -> None:
    for tree in trees:
        every = int(tree.train.checkpoint_every)
        for rung in study.rungs(space, epochs):
            if rung % every:
                raise BitBloomError(f"pruner: epoch {rung} has no checkpoint; train.checkpoint_every is {every}: set it to 1")
