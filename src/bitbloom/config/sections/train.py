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
    """Samples per step; a multiple of `numerics.micro_batches`."""
    learning_rate: float = 1e-3
    head_learning_rate: float | None = None
    """Learning rate of the head; null means `learning_rate`."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer of a transformer to the one below; 1 means equal rates."""
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Fraction of the steps in which the learning rate rises linearly; it falls linearly to zero in the rest."""
    label_smoothing: float = 0.1
    clip: float = 1.0
    """Largest norm of the gradient; 0 disables clipping."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which then becomes the result; 0 disables it."""
    patience: int = 0
    """Epochs without a better validation score before training stops and keeps the best weights; 0 disables early stopping."""
    part: int = 100
    """Percentage of the training samples in use, always the same ones: for learning curves over the amount of data."""
    max_steps: int | None = None
    """Stop after this number of steps, regardless of `epochs`."""
    checkpoint_every: int = 1
    """Epochs between checkpoints."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("epochs", "batch_size", "checkpoint_every", "part")
    """Keys whose value is at least 1."""
