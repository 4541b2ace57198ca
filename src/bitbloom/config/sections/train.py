"""`train`: the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Train:
    """The training loop."""

    seed: int = 2026
    epochs: int = 30
    batch_size: int = 128
    """Samples a step; a multiple of `numerics.micro_batches`."""
    learning_rate: float = 1e-3
    head_learning_rate: float | None = None
    """Learning rate of the classifier; null is `learning_rate`."""
    layer_decay: float = 1.0
    """The learning rate falls by this factor from each layer of a transformer to the one below; 1 keeps it."""
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Part of all steps in which the learning rate rises linearly; it falls linearly to zero in the rest."""
    label_smoothing: float = 0.1
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: float = 0.0
    """Decay a step of an exponential moving average of the weights, which is then what is kept; 0 is none."""
    patience: int = 0
    """Epochs without a better validation accuracy after which training stops and the best weights are kept; 0 is off."""
    part: int = 100
    """Percent of the training samples that are learned from, always the same ones: for curves over the amount of data."""
    max_steps: int | None = None
    """Stop after so many steps, whatever `epochs` says."""
    checkpoint_every: int = 1
    """Epochs between checkpoints."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("epochs", "batch_size", "checkpoint_every", "part")
    """Keys whose value is 1 or more."""
