"""The parts of a training step: for each, the functions whose time it is, by their qualified names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from operator import attrgetter
from types import CodeType

OTHER = "other"
"""What runs in a step outside of all named functions: the loop itself, and the report of progress."""
BETWEEN = ("validation", "checkpoint")
"""What runs between steps. The functions inside belong to it, too."""
LOSS = "bitbloom.tasks.{task}.model:loss"
"""The forward pass. Its first argument is the network."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "read": ("bitbloom.data.dataset:Dataset.take", "bitbloom.training.sampler:Stream.batch"),
    "decode": ("bitbloom.models.preprocess:scale", "bitbloom.models.preprocess:Preprocess.normalise"),
    "augment": ("bitbloom.tasks.{task}.model:batch",),
    "forward": (LOSS,),
    "backward": ("lightning_fabric:Fabric.backward",),
    "ordered sum": (
        "bitbloom.training.optimiser:Optimiser.take_gradient",
        "bitbloom.numerics.reduction:TreeSum.add",
        "bitbloom.numerics.reduction:SharedTreeSum.__call__",
        "bitbloom.numerics.reduction:AllTreeSum.__call__",
        "bitbloom.numerics.reduction:all_in_order",
        "bitbloom.numerics.reduction:tree_sum",
    ),
    "optimiser": ("bitbloom.training.optimiser:Optimiser.step",),
    "ledger": (
        "bitbloom.training.loop:Run.checksum",
        "bitbloom.numerics.ledger:tensors_digest",
        "bitbloom.numerics.ledger:combined",
        "bitbloom.numerics.ledger:entry",
    ),
    "waiting for workers": (
        "torch.distributed:barrier",
        "torch.distributed:all_gather",
        "bitbloom.numerics.reduction:AllTreeSum._exchange",
    ),
    "validation": ("bitbloom.training.loop:Run.validate",),
    "checkpoint": ("bitbloom.training.loop:Run.save",),
}
"""Part → functions. A function inside a function of another part belongs to its own."""
ABOUT: Mapping[str, str] = {
    "read": "positions of the batch, and its samples from the memory-mapped arrays",
    "decode": "bytes to float32, and normalisation",
    "augment": "the task's batch: crops, colours, masks",
    "forward": "network and loss",
    "backward": "gradients of the micro-batches",
    "ordered sum": "the tree of gradients over micro-batches and workers",
    "optimiser": "clipping, AdamW, moving average",
    "ledger": "digest of the batch, checksums of gradient and weights",
    "waiting for workers": "barriers and exchanges, until the slowest worker arrives",
    OTHER: "the loop, and all functions that no row names",
}


def codes(task: str) -> dict[CodeType, str]:
    """Code of each named function → its part. Raises AttributeError or ModuleNotFoundError for a name that is gone."""
    return {code(name, task): part for part, names in PARTS.items() for name in names}


def code(name: str, task: str) -> CodeType:
    """The code of a function by its qualified name, `module:Class.method`, inside its decorators."""
    module, _, path = name.format(task=task).partition(":")
    found: CodeType = inspect.unwrap(attrgetter(path)(importlib.import_module(module))).__code__
    return found
