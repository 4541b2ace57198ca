"""Image classifiers: a vision transformer, a fine-tuned DINOv2, a traditional CNN, or any of transformers' by name.

Every network here takes float32 [n, 3, s, s] and gives logits float32 [n, classes].
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from bitbloom.core.errors import BitBloomError
from bitbloom.models import attention, initialise, layers, weights
from bitbloom.models.layers import EAGER
from bitbloom.models.linear import PortableLinear

if TYPE_CHECKING:
    from bitbloom.config.models.image import ImageModel

LOOKING = ("vit", "deit", "dinov2", "dinov2_with_registers")
"""Families of transformers whose tokens are a class token, others, and then the patches, each looking at all."""
PATCHES_TOO = ("dinov2", "dinov2_with_registers")
"""Of these, those whose head reads the mean of the patches beside the class token."""


def build(config: ImageModel, classes: int, pretrained: bool = True) -> nn.Module:
    """The network that a `model` section describes.

    Args:
        config: the section.
        classes: size of the output.
        pretrained: start from `config.weights`; False gives the same shapes for a state that is loaded next.

    Raises:
        BitBloomError: unknown architecture, or weights that do not fit it.
    """
    builders = {"vit": _vit, "cnn": _cnn, "dinov2": _dinov2, "auto": _auto}
    if config.architecture not in builders:
        raise BitBloomError(f"model.architecture '{config.architecture}' is none of {', '.join(builders)}")
    return builders[config.architecture](config, classes, pretrained)


class PatchMean(nn.Module):
    """A `ViTForImageClassification` read by the mean of its patches, which needs fewer photos than a class token to learn."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = _with_portable_head(model)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → float32 [n, classes]."""
        return self.read(self.model.get_submodule("vit")(pixels).last_hidden_state)

    def looking(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and where the network looked: float32 [n, grid, grid] that adds up to 1."""
        found = self.model.get_submodule("vit")(pixels, output_attentions=True)
        flow = attention.rollout(found.attentions)
        return self.read(found.last_hidden_state), attention.patch_map(flow, [slice(1, None)], grid(self.model))

    def read(self, hidden: Tensor) -> Tensor:
        """Last hidden states [n, t, h] → logits."""
        logits: Tensor = self.model.get_submodule("classifier")(hidden[:, 1:].mean(dim=1))
        return logits


class Logits(nn.Module):
    """A transformers classifier that takes pixels and gives logits, nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = _with_portable_head(model)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → float32 [n, classes]."""
        logits: Tensor = self.model(pixel_values=pixels).logits
        return logits

    def looking(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and where the network looked: float32 [n, grid, grid] that adds up to 1."""
        found, side = self.model(pixel_values=pixels, output_attentions=True), grid(self.model)
        readers = [slice(1), slice(-side * side, None)] if _family(self.model) in PATCHES_TOO else [slice(1)]
        return found.logits, attention.patch_map(attention.rollout(found.attentions), readers, side)

    def head(self) -> nn.Module:
        """The classifier on top."""
        return self.model.get_submodule(_head_name(self.model))


def looks(network: nn.Module) -> bool:
    """Whether a network can say where it looked: a vision transformer can, a CNN cannot."""
    return isinstance(network, PatchMean | Logits) and _family(network.model) in LOOKING


def _family(model: Any) -> str:
    return str(model.config.model_type)


def grid(model: Any) -> int:
    """Patches a side of a vision transformer."""
    return int(model.config.image_size // model.config.patch_size)


def _vit(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """`ViTForImageClassification` from random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    if config.weights != "none":
        raise BitBloomError(
            f"model.weights '{config.weights}' need model.architecture=dinov2 or auto; vit starts from random weights"
        )
    shape = _sizes(config, classes) | {"intermediate_size": config.hidden_size * config.mlp_ratio}
    model: Any = ViTForImageClassification(ViTConfig(**shape))
    if config.stem == "conv":
        model.vit.embeddings.patch_embeddings.projection = ConvStem(config.patch_size, config.hidden_size)
    elif config.stem != "patch":
        raise BitBloomError(f"model.stem '{config.stem}' is neither patch nor conv")
    if config.pooling not in ("class", "mean"):
        raise BitBloomError(f"model.pooling '{config.pooling}' is neither class nor mean")
    network = PatchMean(model) if config.pooling == "mean" else Logits(model)
    return _initialised(network, pretrained)


class ConvStem(nn.Sequential):
    """3×3 convolutions of stride 2 down to one vector a patch (Xiao et al. 2021, arXiv:2106.14881), without batch statistics."""

    def __init__(self, patch_size: int, width: int) -> None:
        halvings = patch_size.bit_length() - 1
        if 1 << halvings != patch_size or halvings < 2:
            raise BitBloomError(f"model.stem=conv needs a model.patch_size of 4, 8, 16 or 32, not {patch_size}")
        widths = [3, *(max(32, width >> (halvings - 1 - step)) for step in range(halvings))]
        blocks: list[nn.Module] = []
        for before, after in pairwise(widths):
            blocks += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.ReLU()]
        super().__init__(*blocks, nn.Conv2d(widths[-1], width, 1))

    @property
    def weight(self) -> Tensor:
        """The first kernel: transformers asks a patch projection for its dtype through it."""
        return self.get_parameter("0.weight")


def _cnn(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """A traditional CNN of `layers` blocks, halving the picture and widening up to `hidden_size`."""
    if config.weights != "none":
        raise BitBloomError("model.architecture=cnn starts from random weights: set model.weights=none")
    widths = [3, *(min(config.hidden_size, 32 << step) for step in range(config.layers))]
    blocks: list[nn.Module] = []
    for before, after in pairwise(widths):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), PortableLinear(widths[-1], classes))
    return _initialised(network, pretrained)


def _dinov2(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """`Dinov2ForImageClassification`: class token and mean of the patches into a linear head (Oquab et al. 2023)."""
    from transformers import Dinov2Config, Dinov2ForImageClassification

    shape = _sizes(config, classes) | {"mlp_ratio": config.mlp_ratio, "use_mask_token": False}
    network = Logits(Dinov2ForImageClassification(Dinov2Config(**shape)))
    _initialised(network, pretrained)
    if pretrained and config.weights != "none":
        state = weights.state(config.weights)
        weights.load_backbone(network.get_submodule("model.dinov2"), state)
        initialise.silent(network.head())
    return network


def _sizes(config: ImageModel, classes: int) -> dict[str, Any]:
    """The keys that vision transformers share."""
    return layers.sizes(config) | {"image_size": config.image_size, "patch_size": config.patch_size, "num_labels": classes}


def _auto(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """Any `AutoModelForImageClassification`, from a hub repository at a pinned revision or a folder."""
    from transformers import AutoConfig, AutoModelForImageClassification

    name, revision = weights.location(config.weights)
    shape = AutoConfig.from_pretrained(name, revision=revision, num_labels=classes)
    if hasattr(shape, "image_size"):
        shape.image_size = config.image_size
    if not pretrained:
        return Logits(
            AutoModelForImageClassification.from_config(shape, attn_implementation=EAGER)  # type: ignore[no-untyped-call]
        )
    network = Logits(
        AutoModelForImageClassification.from_pretrained(
            name, revision=revision, config=shape, attn_implementation=EAGER, ignore_mismatched_sizes=True
        )
    )
    initialise.silent(network.head())
    return network


def _with_portable_head(model: Any) -> nn.Module:
    parent, _, leaf = _head_name(model).rpartition(".")
    owner = model.get_submodule(parent)
    setattr(owner, leaf, PortableLinear.of(getattr(owner, leaf)))
    whole: nn.Module = model
    return whole


def _head_name(model: Any) -> str:
    """Where a transformers classifier has its head: the last linear layer with an output a class. Models name it as they like."""
    classes = model.config.num_labels
    heads: list[str] = [
        name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    if not heads:
        raise BitBloomError(f"{type(model).__name__} has no linear layer with {classes} outputs: its head cannot be trained anew")
    return heads[-1]


def _initialised(network: nn.Module, pretrained: bool) -> nn.Module:
    if pretrained:
        initialise.portable(network)
    return network
