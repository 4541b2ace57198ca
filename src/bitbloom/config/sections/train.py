"""`train`: the training loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from bitbloom.core.errors import BitBloomError

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass
class Lora:
    """Low-rank adaptation: a linear layer's matrix is frozen, and the product of two small ones is trained and added to it (Hu et
    al. 2021, arXiv:2106.09685). The trained model has the sums, so no later stage differs."""

    rank: int = 0
    """Inner size of the product; 0 disables the adaptation."""
    alpha: float = 16.0
    """The product has the factor alpha / rank."""
    targets: list[str] = field(default_factory=lambda: ["q_proj", "v_proj", "query", "value"])
    """Names of the adapted linear layers."""
    full: list[str] = field(default_factory=lambda: ["classifier"])
    """Names of modules that are trained completely, such as a new head; all other parameters are frozen."""


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
    checkpointing: bool = False
    """Keep only the inputs of a transformer's layers for the backward pass, and compute the rest again: less memory, more time,
    the same bytes (gradient checkpointing; Chen et al. 2016, arXiv:1604.06174)."""
    precision: str = "auto"
    """auto | fp32 | bf16: mixed precision. auto is bf16 with `numerics=cuda`, with `numerics=fast` where the CPU multiplies bf16,
    and fp32 elsewhere."""
    lora: Lora = field(default_factory=Lora)
    """Low-rank adaptation."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("epochs", "batch_size", "checkpoint_every", "part")
    """Keys whose value is at least 1."""

    def check(self, profile: str) -> None:
        """Raise BitBloomError that names a key whose value is out of range, or that the numerics profile does not support."""
        if self.precision not in PRECISIONS:
            raise BitBloomError(f"train.precision '{self.precision}' is none of {', '.join(PRECISIONS)}")
        if self.precision == "bf16" and profile == "portable":
            raise BitBloomError(
                "train.precision=bf16 needs numerics=fast or numerics=cuda: CPUs with bf16 instructions and those without add "
                "the products of bf16 in different ways, so the bytes would depend on the CPU"
            )
        if self.lora.rank < 0:
            raise BitBloomError(f"train.lora.rank is {self.lora.rank}: it has to be 0 or more")
