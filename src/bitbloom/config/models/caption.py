"""`model` of kind `caption`: photos and sentences in a common space, and a decoder that writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from bitbloom.config.models import Model
from bitbloom.config.models.image import ImageModel
from bitbloom.config.models.text import TextModel


@dataclass
class Writer:
    """The decoder that writes sentences."""

    hidden_size: int = 288
    layers: int = 2
    heads: int = 8
    mlp_ratio: int = 4
    dropout: float = 0.1
    word_dropout: float = 0.0
    """Share of the words before that it is not shown in training, so that it looks at the photo (Bowman et al. 2016,
    arXiv:1511.06349)."""


@dataclass
class CaptionModel(Model):
    """A tower for photos and one for sentences with a common space, and a writer that looks at the photo."""

    kind: str = "caption"
    architecture: str = "dual"
    """dual: a `VisionTextDualEncoderModel` of the two towers."""
    image: ImageModel = field(default_factory=ImageModel)
    text: TextModel = field(default_factory=TextModel)
    writer: Writer = field(default_factory=Writer)
    embedding_size: int = 288
    """Length of the vectors that photos and sentences are compared by."""
    image_layers: int = -1
    """How many of the last layers of the image tower learn: -1 is all of it; 0 none, then its features are computed once."""
    text_layers: int = -1
    """The same of the text tower."""
    grid: int = 0
    """The writer sees the photo as grid × grid averages of patches and one of the whole; 0 is every patch."""
    views: int = 1
    """Pictures that a frozen image tower sees of a photo: it as it is, and so many less one augmented ones."""
    sentences: int = 1
    """Of a photo's sentences, so many are written in a step of training; the first of them also makes a pair with it."""
    contrast_weight: float = 1.0
    """What the loss of telling pairs from others counts beside that of writing."""

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"architecture": ("dual",)}
    POSITIVE: ClassVar[tuple[str, ...]] = (
        "embedding_size",
        "sentences",
        "views",
        *(f"writer.{key}" for key in ("hidden_size", "layers", "heads", "mlp_ratio")),
    )
    PARTS: ClassVar[tuple[str, ...]] = ("image", "text")
    EXPORTS: ClassVar[tuple[str, ...]] = ("image.onnx", "text.onnx", "decoder.onnx", "index")
    SCORE: ClassVar[str] = "val_recall"
    CONFUSION: ClassVar[bool] = False
    PREDICTIONS: ClassVar[tuple[str, ...]] = ("sentences", "written", "truth")

    @property
    def frozen(self) -> bool:
        """Whether a tower keeps its weights, so that what it says of every sample can be computed once."""
        return self.image_layers == 0 or self.text_layers == 0
