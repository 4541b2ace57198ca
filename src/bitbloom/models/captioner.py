"""The captioning network: an image tower and a text tower with a common embedding space, and a decoder.

Both towers are models of the `transformers` package in a `VisionTextDualEncoderModel`, trained like CLIP (Radford et al. 2021,
arXiv:2103.00020). The decoder is a `BertLMHeadModel` with cross-attention to the patch features of the photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, normalize

from bitbloom.core.errors import BitBloomError
from bitbloom.data.vocabulary import PADDING
from bitbloom.models import classifier, initialise, text_classifier, weights
from bitbloom.models.layers import LAYER, bert_sizes
from bitbloom.models.linear import PortableLinear
from bitbloom.models.text_classifier import additive_mask
from bitbloom.models.tokens import padding

if TYPE_CHECKING:
    from bitbloom.config.models.caption import CaptionModel
    from bitbloom.config.models.image import ImageModel
    from bitbloom.config.models.text import TextModel

MAX_SCALE = 100.0
"""Largest scale of a cosine similarity in the contrastive loss, as in CLIP."""
SCALE_START = -2.0
"""MAX_SCALE times its sigmoid is 12. CLIP starts at 14 and learns the logarithm, whose `exp` is not portable."""


class Captioner(nn.Module):
    """The whole network.

    The submodules `dual`, `bridge` and `writer` (the decoder) are part of the parameter names in `model.safetensors`.

    Attributes:
        longest: largest number of words of a generated sentence, END included.

    Shapes: n samples, c sentences, T patch features of a photo (`grid`² + 1), D the image tower's width, E `embedding_size`,
    V words.
    """

    def __init__(self, dual: Any, decoder: Any, config: CaptionModel, padding: int) -> None:
        super().__init__()
        self.dual: nn.Module = dual
        self.bridge = nn.Linear(dual.visual_projection.in_features, decoder.config.hidden_size)
        self.writer: nn.Module = decoder
        self.grid = config.grid
        self.contrast_weight = config.contrast_weight
        self.padding = padding
        self.longest: int = decoder.config.max_position_embeddings

    def patch_features(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → outputs of the image tower for the class token and for each patch, [n, T, D]."""
        hidden: Tensor = self.dual.get_submodule("vision_model")(pixel_values=pixels).last_hidden_state
        side = round((hidden.shape[1] - 1) ** 0.5)
        if self.grid in (0, side):
            return hidden
        if side % self.grid:
            raise BitBloomError(
                f"model.grid {self.grid} does not divide a photo's {side} x {side} patches: use a divisor, or 0 for all"
            )
        patches = hidden[:, 1:].transpose(1, 2).reshape(hidden.shape[0], -1, side, side)
        return torch.cat([hidden[:, :1], avg_pool2d(patches, side // self.grid).flatten(2).transpose(1, 2)], dim=1)

    def image_embedding(self, patches: Tensor) -> Tensor:
        """Patch features [n, T, D] → unit vectors [n, E], from the class token and the mean of the patches."""
        pooled = (patches[:, 0] + patches[:, 1:].mean(dim=1)) / 2
        return normalize(self.dual.get_submodule("visual_projection")(pooled), dim=-1)

    def text_features(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] → mean output of the text tower over a sentence's tokens, [n, width]."""
        mask = (tokens != self.padding).to(torch.float32)
        tower = self.dual.get_submodule("text_model")
        hidden = tower(input_ids=tokens, attention_mask=additive_mask(mask)).last_hidden_state
        mean: Tensor = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1.0)
        return mean

    def text_embedding(self, features: Tensor) -> Tensor:
        """Text features [n, width] → unit vectors [n, E]."""
        return normalize(self.dual.get_submodule("text_projection")(features), dim=-1)

    def similarity(self, images: Tensor, texts: Tensor) -> Tensor:
        """Cosine similarities [n, m] of unit vectors [n, E] and [m, E], times the learned scale."""
        return images @ texts.T * (MAX_SCALE * torch.sigmoid(self.dual.get_parameter("logit_scale")))

    def next_words(self, patches: Tensor, words: Tensor) -> Tensor:
        """Logits [n, w, V] of the word after each of `words` int64 [n, w], given the words up to it and the patch features."""
        memory = self.bridge(patches)
        length = words.shape[1]
        visible = torch.ones(length, length).tril()[None] * (words != PADDING).to(torch.float32)[:, None]
        mask = ((1.0 - visible) * torch.finfo(torch.float32).min)[:, None]
        output = self.writer(input_ids=words, attention_mask=mask, encoder_hidden_states=memory, use_cache=False)
        logits: Tensor = output.logits
        return logits


def build(config: CaptionModel, meta: Mapping[str, Any], pretrained: bool = True) -> Captioner:
    """Build the network of a `model` section; `meta` has the decoder's `vocabulary`, the `tokenizer` and `tokens` per sentence.

    Raises:
        BitBloomError: the weights do not fit the architecture, or a tower has an unsupported one.
    """
    tokenizer = Tokenizer.from_str(meta["tokenizer"])
    dual = _dual(config, tokenizer)
    network = Captioner(dual, _decoder(config, meta), config, padding(tokenizer))
    if pretrained:
        _initialise(network, config)
    network.dual.get_parameter("logit_scale").data.fill_(SCALE_START)
    _freeze(network.dual.get_submodule("vision_model"), config.image_layers)
    _freeze(network.dual.get_submodule("text_model"), config.text_layers)
    return network


def _dual(config: CaptionModel, tokenizer: Tokenizer) -> nn.Module:
    """Build the two towers with the builders of the classifiers, and drop the classification heads."""
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    image, text = _image_tower(config.image), _text_tower(config.text, tokenizer)
    both = VisionTextDualEncoderConfig.from_vision_text_configs(image.config, text.config, projection_dim=config.embedding_size)
    model: nn.Module = VisionTextDualEncoderModel(both, image, text)
    return model


def _image_tower(config: ImageModel) -> Any:
    """Build a `ViTModel` or `Dinov2Model`. Raises BitBloomError for a network without patch features."""
    found = classifier.build(replace(config, weights="none" if config.architecture != "auto" else config.weights), 2, False)
    for name in ("model.vit", "model.dinov2"):
        try:
            return found.get_submodule(name)
        except AttributeError:
            continue
    raise BitBloomError(f"model.image.architecture '{config.architecture}' has no patch features: use vit or dinov2")


def _text_tower(config: TextModel, tokenizer: Tokenizer) -> Any:
    """Build a `BertModel`."""
    if config.architecture != "bert":
        raise BitBloomError(f"model.text.architecture '{config.architecture}' is not supported: use bert")
    meta = {"tokenizer": tokenizer.to_str(), "classes": ["one", "two"]}
    return text_classifier.build(replace(config, weights="none"), meta, False).get_submodule("model.bert")


def _decoder(config: CaptionModel, meta: Mapping[str, Any]) -> nn.Module:
    """Build the decoder, with an output layer that is portable."""
    from transformers import BertConfig, BertLMHeadModel

    shape = bert_sizes(config.writer) | {
        "vocab_size": len(meta["vocabulary"]),
        "max_position_embeddings": meta["tokens"] - 1,  # the last word has no successor
        "pad_token_id": PADDING,
        "is_decoder": True,
        "add_cross_attention": True,
        "tie_word_embeddings": False,
    }
    model: Any = BertLMHeadModel(BertConfig(**shape))
    model.cls.predictions.register_parameter("bias", None)  # the output layer has a bias of its own
    model.cls.predictions.decoder = PortableLinear.of(model.cls.predictions.decoder)
    whole: nn.Module = model
    return whole


def _initialise(network: Captioner, config: CaptionModel) -> None:
    """Draw new parameters and load the pretrained weights of the towers."""
    initialise.portable(network)
    for name, section, trainable in (
        ("vision_model", config.image, config.image_layers),
        ("text_model", config.text, config.text_layers),
    ):
        tower = network.dual.get_submodule(name)
        if section.weights != "none":
            weights.load_backbone(tower, weights.state(section.weights))
        elif trainable == 0:
            _draw_from_seed(tower)


def _draw_from_seed(tower: nn.Module) -> None:
    """Draw a frozen tower from the seed alone: the `features` stage builds it without the rest of the network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed())
        initialise.portable(tower)


def _freeze(tower: nn.Module, trainable: int) -> None:
    """Train only the last `trainable` layers and the modules after them; -1 trains everything."""
    if trainable < 0:
        return
    numbers = {name: int(found[1]) for name, _ in tower.named_parameters() if (found := LAYER.search(f".{name}"))}
    first = max(numbers.values(), default=-1) + 1 - trainable
    for name, parameter in tower.named_parameters():
        after = name not in numbers and "embeddings" not in name and trainable > 0
        parameter.requires_grad_(numbers.get(name, -1) >= first or after)
