"""`model` of kind `caption`: photos and sentences in a common embedding space, and a caption decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from bitbloom.config.models import Model
from bitbloom.config.models.image import ImageModel
from bitbloom.config.models.text import TextModel


@dataclass
class Decoder:
    """The decoder that generates captions."""

    hidden_size: int = 288
    layers: int = 2
    heads: int = 8
    mlp_ratio: int = 4
    dropout: float = 0.1
    word_dropout: float = 0.0
    """Probability that training replaces an input word by UNKNOWN, so that the decoder depends more on the photo (word dropout;
    Bowman et al. 2016, arXiv:1511.06349)."""


@dataclass
class CaptionModel(Model):
    """An image tower and a text tower with a common embedding space, and a decoder with cross-attention to the photo."""

    kind: str = "caption"
    architecture: str = "dual"
    """dual: a `VisionTextDualEncoderModel` of the two towers."""
    image: ImageModel = field(default_factory=ImageModel)
    text: TextModel = field(default_factory=TextModel)
    writer: Decoder = field(default_factory=Decoder)
    embedding_size: int = 288
    """Length of the embeddings of photos and sentences."""
    image_layers: int = -1
    """Number of trainable last layers of the image tower: -1 trains all; 0 freezes it, and its features are computed once."""
    text_layers: int = -1
    """Number of trainable last layers of the text tower, likewise."""
    grid: int = 0
    """The decoder reads grid × grid averages of patch features and the class token; 0 keeps every patch."""
    views: int = 1
    """Views of a photo for a frozen image tower: the photo itself and `views` - 1 augmented ones."""
    sentences: int = 1
    """Captions per photo in a training step; the contrastive loss uses the first of them."""
    contrast_weight: float = 1.0
    """Weight of the contrastive loss relative to the loss of the decoder."""

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"architecture": ("dual",)}
    POSITIVE: ClassVar[tuple[str, ...]] = (
        "embedding_size",
        "sentences",
        "views",
        *(f"writer.{key}" for key in ("hidden_size", "layers", "heads", "mlp_ratio")),
    )
    PARTS: ClassVar[tuple[str, ...]] = ("image", "text")
    EXPORTS: ClassVar[tuple[str, ...]] = ("image.onnx", "text.onnx", "decoder.onnx", "index")

    @property
    def frozen(self) -> bool:
        """Whether a tower is frozen, so that its features of every sample can be computed once."""
        return self.image_layers == 0 or self.text_layers == 0
