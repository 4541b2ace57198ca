"""The sections of a target's configuration: every key with its type, its default and what it means.

`source` has the keys of its kind, which are in `bitbloom.sources`; `model` those of one of MODELS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING, OmegaConf

from bitbloom.errors import BitBloomError


@dataclass
class Gate:
    """Bounds a task's expectation suite is filled in with; `null` leaves an expectation out."""

    labels: list[str] | None = None
    """The closed set of labels, or null when the data declares them."""
    rows: list[int] = field(default_factory=lambda: [50, 1_000_000])
    """Fewest and most rows."""
    class_rows: int = 10
    """Fewest rows of a class."""
    imbalance: float = 10.0
    """Largest ratio of the biggest to the smallest class."""
    side: list[int] = field(default_factory=lambda: [32, 12_000])
    """Shortest and longest side of a photo, pixels."""
    aspect: list[float] = field(default_factory=lambda: [0.25, 4.0])
    """Width over height."""
    modes: list[str] = field(
        default_factory=lambda: ["RGB", "L", "1", "CMYK", "YCbCr", "P", "PA", "RGBA", "LA", "I", "I;16", "I;16B"]
    )
    """Colour modes a file may have before it is converted to RGB."""
    brightness: list[float] = field(default_factory=lambda: [0.01, 0.99])
    """Mean luma of a photo, 0 to 1."""
    contrast: list[float] = field(default_factory=lambda: [0.01, 0.6])
    """Standard deviation of the luma of a photo, 0 to 1."""
    repeats: int = 0
    """Most rows whose file bytes repeat another row's."""
    conflicts: int = 0
    """Most rows that are near-duplicates of a row with another label."""
    conflict_bits: int = 0
    """Largest Hamming distance of two perceptual hashes (of 64 bits) that makes near-duplicates."""
    undecodable: int = 0
    """Most rows that may fail to decode (they are left out by `prepare`)."""
    characters: list[int] = field(default_factory=lambda: [3, 400])
    """Shortest and longest text after cleaning."""
    words: list[int] = field(default_factory=lambda: [1, 100])
    """Fewest and most words of a text."""
    ascii_share: float = 0.5
    """Smallest part of a text's letters that are ASCII; of so large a part of rows: `ascii_rows`."""
    ascii_rows: float = 0.95
    missing_keyword: float = 0.5
    """Largest part of rows without a keyword."""
    missing_location: float = 0.7
    """Largest part of rows without a location."""
    new_words: float = 0.35
    """Largest part of words, on average, in the last fifth of the rows that the rows before lack."""
    captions: list[int] = field(default_factory=lambda: [1, 10])
    """Fewest and most sentences of a photo."""
    shared_captions: float | None = 0.1
    """Largest part of photos with a sentence that another photo has too."""
    nameless: int = 0
    """Most photos with a sentence that names nothing, such as "a photo of the"."""


@dataclass
class Prepare:
    """How raw samples become arrays and splits."""

    image_size: int = 96
    """Side of the stored square, pixels."""
    split: list[int] = field(default_factory=lambda: [70, 10, 20])
    """Percent of train, val and test."""
    near_duplicate_bits: int = 4
    """Largest Hamming distance of two perceptual hashes (of 64 bits) that makes a candidate pair."""
    near_duplicate_difference: float = 10.0
    """Largest mean absolute difference of two 16×16 grey thumbnails (0 to 255) that confirms it."""
    tokenizer: str = "none"
    """none | locked:NAME (of weights.lock) | path:FOLDER: whose `tokenizer.json` makes numbers of texts."""
    tokens: int = 64
    """Longest text, tokens; longer ones are cut."""
    fewest: int = 1
    """How often the training split has to have a word for the vocabulary of a model that writes."""


@dataclass
class Model:
    """What every network has. `kind` picks the section's type, `architecture` the builder, `weights` where it starts from."""

    kind: str = MISSING
    architecture: str = MISSING
    weights: str = "none"
    """none | locked:NAME (of weights.lock) | hub:REPOSITORY@REVISION | path:FOLDER."""

    PARTS: ClassVar[tuple[str, ...]] = ()
    """Fields that are models themselves, with weights of their own."""
    EXPORTS: ClassVar[tuple[str, ...]] = ("model.onnx", "model.int8.onnx")
    """What the export stage writes."""
    SCORE: ClassVar[str] = "val_accuracy"
    """The curve of training that is drawn beside the losses."""
    CONFUSION: ClassVar[bool] = True
    """Whether its answers are classes, of which one may be taken for another."""

    @property
    def frozen(self) -> bool:
        """Whether a part of it keeps its weights, so that what it says of every sample can be computed once."""
        return False

    def starts_from(self) -> list[str]:
        """The weights that it starts from, those of its parts included."""
        own = [self.weights, *(spec for part in self.PARTS for spec in getattr(self, part).starts_from())]
        return [spec for spec in own if spec != "none"]


@dataclass
class ImageModel(Model):
    """A classifier of images."""

    kind: str = "image"
    architecture: str = "vit"
    """vit | cnn | dinov2 | auto (any `AutoModelForImageClassification` of `weights`)."""
    image_size: int = 96
    """Side of the network's input, pixels."""
    mean: list[float] = field(default_factory=lambda: [0.5, 0.5, 0.5])
    std: list[float] = field(default_factory=lambda: [0.25, 0.25, 0.25])
    patch_size: int = 16
    hidden_size: int = 192
    layers: int = 6
    heads: int = 3
    mlp_ratio: int = 4
    stem: str = "conv"
    """patch (one strided convolution) | conv (a stack of 3×3 ones; Xiao et al. 2021, arXiv:2106.14881)."""
    pooling: str = "class"
    """What the head of a `vit` reads: class (its class token) | mean (of its patches)."""
    dropout: float = 0.0


@dataclass
class TextModel(Model):
    """A classifier of texts."""

    kind: str = "text"
    architecture: str = "bert"
    """bert (of these sizes) | auto (any `AutoModelForSequenceClassification` of `weights`)."""
    hidden_size: int = 384
    layers: int = 6
    heads: int = 12
    mlp_ratio: int = 4
    positions: int = 512
    """Longest input of the network, tokens."""
    dropout: float = 0.1


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

    PARTS: ClassVar[tuple[str, ...]] = ("image", "text")
    EXPORTS: ClassVar[tuple[str, ...]] = ("image.onnx", "text.onnx", "decoder.onnx", "index")
    SCORE: ClassVar[str] = "val_recall"
    CONFUSION: ClassVar[bool] = False

    @property
    def frozen(self) -> bool:
        """Whether a tower keeps its weights, so that what it says of every sample can be computed once."""
        return self.image_layers == 0 or self.text_layers == 0


MODELS: dict[str, type[Model]] = {"image": ImageModel, "text": TextModel, "caption": CaptionModel}


def model(section: Mapping[str, Any]) -> Model:
    """A `model` section as the type that its `kind` names. Raises BitBloomError for an unknown kind."""
    kind = section.get("kind")
    if kind not in MODELS:
        raise BitBloomError(f"model.kind '{kind}' is none of {', '.join(MODELS)}")
    found = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(MODELS[str(kind)]), dict(section)))
    assert isinstance(found, Model)
    return found


@dataclass
class Augment:
    """Kornia augmentations of a training batch, each with its probability (0 leaves it out)."""

    crop: float = 1.0
    crop_scale: list[float] = field(default_factory=lambda: [0.6, 1.0])
    """Smallest and largest side of the crop as a fraction of the stored square's side."""
    flip: float = 0.5
    vertical_flip: float = 0.0
    colour: float = 0.8
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    erase: float = 0.0
    erase_scale: list[float] = field(default_factory=lambda: [0.02, 0.15])
    mixup: float = 0.0
    cutmix: float = 0.0


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


@dataclass
class Numerics:
    """How arithmetic is pinned."""

    profile: str = "portable"
    """portable | fast | cuda."""
    micro_batches: int = 8
    """Micro-batches a step, each computed alone: a power of two, 8 or more, and never fewer than the workers."""


@dataclass
class Evaluate:
    """What is measured on the test split."""

    bootstrap: int = 1000
    """Resamples for the confidence intervals."""
    calibration_bins: int = 10
    worst: int = 16
    """Mistakes shown, the most confident first."""


@dataclass
class Export:
    """The exported graph."""

    opset: int = 20
    int8: bool = True
    calibration_samples: int = 128
    """Training samples from which the static int8 ranges are taken."""
    tolerance: float = 1e-4
    """Largest difference of an output between PyTorch and the exported graph."""
    index: int = 500
    """Most photos of the test split that can be searched for by a sentence."""
    int8_cost: float = 0.02
    """Accuracy that the int8 variant may cost before `run.json` says that it is too much."""


@dataclass
class Service:
    """Limits and texts of the service."""

    title: str = "BitBloom"
    max_bytes: int = 10_000_000
    max_pixels: int = 50_000_000
    max_batch: int = 32
    max_requests: int = 128
    """Questions that are read, waiting or answered at a time; more are turned away at once (503, to be asked again later)."""
    held_bytes: int = 200_000_000
    """Bytes of all requests together that are held at a time."""
    body_seconds: float = 20.0
    """How long a request may take to arrive."""
    int8: bool = False
    """Pack the int8 graph: faster. `bitbloom predict` always answers with the fp32 one."""
    unsure_below: float = 0.5
    """The page says that it is not sure below this probability."""


@dataclass
class Config:
    """One target, whole. A stage sees only the sections it declares to read."""

    task: str = MISSING
    embedded: bool = False
    """Builds with nothing but the package index; its `dvc.lock` entries and digests are committed."""
    overrides: list[str] = field(default_factory=list)
    """What made a variant of the target; filled in by the build."""
    title: str = ""
    source: Any = MISSING
    gate: Gate = field(default_factory=Gate)
    prepare: Prepare = field(default_factory=Prepare)
    model: Any = MISSING
    augment: Augment = field(default_factory=Augment)
    train: Train = field(default_factory=Train)
    numerics: Numerics = field(default_factory=Numerics)
    evaluate: Evaluate = field(default_factory=Evaluate)
    export: Export = field(default_factory=Export)
    service: Service = field(default_factory=Service)
