"""Image classifiers: vision transformers of transformers and Kornia, DINOv2, a traditional CNN, or any of transformers' by name.

Every network here maps float32 [n, 3, s, s] to logits float32 [n, classes].
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

WITH_ATTENTION = ("vit", "deit", "dinov2", "dinov2_with_registers")
"""Families of transformers with attention maps: their tokens are a class token, optional registers, and then the patches."""
POOLS_PATCHES = ("dinov2", "dinov2_with_registers")
"""Those of them whose head reads the mean of the patches in addition to the class token."""


def build(config: ImageModel, classes: int, pretrained: bool = True) -> nn.Module:
    """Build the network that a `model` section describes.

    Args:
        config: the section.
        classes: size of the output.
        pretrained: start from `config.weights`; False builds the same shapes for a state that is loaded afterwards.

    Raises:
        BitBloomError: the architecture is unknown, or the weights do not fit it.
    """
    builders = {"vit": _vit, "kornia-vit": _kornia_vit, "cnn": _cnn, "dinov2": _dinov2, "auto": _auto}
    if config.architecture not in builders:
        raise BitBloomError(f"model.architecture '{config.architecture}' is none of {', '.join(builders)}")
    return builders[config.architecture](config, classes, pretrained)


class PatchMean(nn.Module):
    """A `ViTForImageClassification` whose head reads the mean of the patches, which needs fewer photos than a class token."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = _with_portable_head(model)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → float32 [n, classes]."""
        return self.read(self.model.get_submodule("vit")(pixels).last_hidden_state)

    def with_attention(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the attention map, float32 [n, grid, grid] that adds up to 1."""
        found = self.model.get_submodule("vit")(pixels, output_attentions=True)
        flow = attention.rollout(found.attentions)
        return self.read(found.last_hidden_state), attention.patch_map(flow, [slice(1, None)], grid(self.model))

    def read(self, hidden: Tensor) -> Tensor:
        """Last hidden states [n, t, h] → logits [n, classes]."""
        logits: Tensor = self.model.get_submodule("classifier")(hidden[:, 1:].mean(dim=1))
        return logits


class Logits(nn.Module):
    """A classifier of the `transformers` package, reduced to a function from pixels to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = _with_portable_head(model)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → float32 [n, classes]."""
        logits: Tensor = self.model(pixel_values=pixels).logits
        return logits

    def with_attention(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the attention map, float32 [n, grid, grid] that adds up to 1."""
        found, side = self.model(pixel_values=pixels, output_attentions=True), grid(self.model)
        pooled = [slice(1), slice(-side * side, None)] if _family(self.model) in POOLS_PATCHES else [slice(1)]
        return found.logits, attention.patch_map(attention.rollout(found.attentions), pooled, side)

    def head(self) -> nn.Module:
        """Return the classification head."""
        return self.model.get_submodule(_head_name(self.model))


def has_attention(network: nn.Module) -> bool:
    """Return whether a network has attention maps: vision transformers do, CNNs do not."""
    return isinstance(network, PatchMean | Logits) and _family(network.model) in WITH_ATTENTION


def _family(model: Any) -> str:
    return str(model.config.model_type)


def grid(model: Any) -> int:
    """Return the patches per side of a vision transformer."""
    return int(model.config.image_size // model.config.patch_size)


def _vit(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """Build a `ViTForImageClassification` with random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    if config.weights != "none":
        raise BitBloomError(
            f"model.weights '{config.weights}' need model.architecture=dinov2 or auto; vit starts from random weights"
        )
    _require_known(config)
    shape = _sizes(config, classes) | {"intermediate_size": config.hidden_size * config.mlp_ratio}
    model: Any = ViTForImageClassification(ViTConfig(**shape))
    if config.stem == "conv":
        model.vit.embeddings.patch_embeddings.projection = ConvStem(config.patch_size, config.hidden_size)
    network = PatchMean(model) if config.pooling == "mean" else Logits(model)
    return _initialised(network, pretrained)


def _require_known(config: ImageModel) -> None:
    """Raise BitBloomError for an unknown stem or pooling."""
    if config.stem not in ("patch", "conv"):
        raise BitBloomError(f"model.stem '{config.stem}' is neither patch nor conv")
    if config.pooling not in ("class", "mean"):
        raise BitBloomError(f"model.pooling '{config.pooling}' is neither class nor mean")


class ConvStem(nn.Sequential):
    """3×3 convolutions of stride 2 down to one vector per patch (Xiao et al. 2021, arXiv:2106.14881) without batch statistics."""

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
        """The first kernel: `transformers` reads the dtype of the patch projection from it."""
        return self.get_parameter("0.weight")


class KorniaViT(nn.Module):
    """Kornia's `VisionTransformer` with a linear head on its class token, or on the mean of its patches."""

    def __init__(self, config: ImageModel, classes: int) -> None:
        from kornia.models.vit import VisionTransformer

        super().__init__()
        width = config.hidden_size
        self.vit = VisionTransformer(
            config.image_size,
            config.patch_size,
            embed_dim=width,
            depth=config.layers,
            num_heads=config.heads,
            dropout_rate=config.dropout,
            backbone=ConvStem(config.patch_size, width) if config.stem == "conv" else None,
        )
        self.classifier = PortableLinear(width, classes)
        self.pooling = config.pooling

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → float32 [n, classes]."""
        hidden = self.vit(pixels)
        self.vit.encoder_results.clear()  # it keeps the outputs of every block, and with them their graph
        logits: Tensor = self.classifier(hidden[:, 0] if self.pooling == "class" else hidden[:, 1:].mean(dim=1))
        return logits


def _kornia_vit(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """Build Kornia's vision transformer with random weights."""
    if config.weights != "none":
        raise BitBloomError("model.architecture=kornia-vit starts from random weights: set model.weights=none")
    if config.mlp_ratio != 4:
        raise BitBloomError(f"model.mlp_ratio of kornia-vit is 4 in Kornia, not {config.mlp_ratio}")
    _require_known(config)
    if config.hidden_size % config.heads:
        raise BitBloomError(f"model.hidden_size {config.hidden_size} is not a multiple of model.heads {config.heads}")
    return _initialised(KorniaViT(config, classes), pretrained)


def _cnn(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """Build a traditional CNN of `layers` blocks that halve the image and widen up to `hidden_size`."""
    if config.weights != "none":
        raise BitBloomError("model.architecture=cnn starts from random weights: set model.weights=none")
    widths = [3, *(min(config.hidden_size, 32 << step) for step in range(config.layers))]
    blocks: list[nn.Module] = []
    for before, after in pairwise(widths):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), PortableLinear(widths[-1], classes))
    return _initialised(network, pretrained)


def _dinov2(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """Build a `Dinov2ForImageClassification`: a linear head on class token and mean of the patches (Oquab et al. 2023)."""
    from transformers import Dinov2Config, Dinov2ForImageClassification

    shape = _sizes(config, classes) | {"mlp_ratio": config.mlp_ratio, "use_mask_token": False}
    network = Logits(Dinov2ForImageClassification(Dinov2Config(**shape)))
    _initialised(network, pretrained)
    if pretrained and config.weights != "none":
        state = weights.state(config.weights)
        weights.load_backbone(network.get_submodule("model.dinov2"), state)
        initialise.zero(network.head())
    return network


def _sizes(config: ImageModel, classes: int) -> dict[str, Any]:
    """Return the configuration keys that vision transformers share."""
    return layers.sizes(config) | {"image_size": config.image_size, "patch_size": config.patch_size, "num_labels": classes}


def _auto(config: ImageModel, classes: int, pretrained: bool) -> nn.Module:
    """Build any `AutoModelForImageClassification`, from a hub repository at a pinned revision or a folder."""
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
    initialise.zero(network.head())
    return network


def _with_portable_head(model: Any) -> nn.Module:
    parent, _, leaf = _head_name(model).rpartition(".")
    owner = model.get_submodule(parent)
    setattr(owner, leaf, PortableLinear.of(getattr(owner, leaf)))
    whole: nn.Module = model
    return whole


def _head_name(model: Any) -> str:
    """Return the name of a classifier's head, which differs between models: the last linear layer with one output per class."""
    classes = model.config.num_labels
    heads: list[str] = [
        name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    if not heads:
        raise BitBloomError(f"{type(model).__name__} has no linear layer with {classes} outputs: its head cannot be replaced")
    return heads[-1]


def _initialised(network: nn.Module, pretrained: bool) -> nn.Module:
    if pretrained:
        initialise.portable(network)
    return network
