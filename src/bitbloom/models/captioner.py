"""The network of captions: a tower for photos and one for sentences that meet in a common space, and a writer.

Both towers are transformers' own, held by a `VisionTextDualEncoderModel` and trained as CLIP is (Radford et al. 2021,
arXiv:2103.00020); the writer is a `BertLMHeadModel` with cross-attention, which sees the photo's patches and the words before.
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
from bitbloom.models.text_classifier import blocking
from bitbloom.models.tokens import padding

if TYPE_CHECKING:
    from bitbloom.config.models.caption import CaptionModel
    from bitbloom.config.models.image import ImageModel
    from bitbloom.config.models.text import TextModel

SHARPEST = 100.0
"""Largest factor of a cosine in the contrastive loss, as in CLIP."""
SCALE_START = -2.0
"""SHARPEST times the sigmoid of it is 12: CLIP starts at 14, and learns the logarithm instead, whose `exp` is not portable."""


class Captioner(nn.Module):
    """The whole network.

    Attributes:
        longest: most words of a written sentence, END included.

    Shapes: n samples, c sentences, T places of a photo (`grid`² + 1), D the image tower's width, E `embedding_size`, V words.
    """

    def __init__(self, dual: Any, writer: Any, config: CaptionModel, filling: int) -> None:
        super().__init__()
        self.dual: nn.Module = dual
        self.bridge = nn.Linear(dual.visual_projection.in_features, writer.config.hidden_size)
        self.writer: nn.Module = writer
        self.grid = config.grid
        self.contrast_weight = config.contrast_weight
        self.filling = filling
        self.longest: int = writer.config.max_position_embeddings

    def places(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → what the image tower says of the whole photo, then place by place, [n, T, D]."""
        hidden: Tensor = self.dual.get_submodule("vision_model")(pixel_values=pixels).last_hidden_state
        side = round((hidden.shape[1] - 1) ** 0.5)
        if self.grid in (0, side):
            return hidden
        if side % self.grid:
            raise BitBloomError(
                f"model.grid {self.grid} does not divide a photo's {side} x {side} patches: take a divisor, or 0 for all"
            )
        patches = hidden[:, 1:].transpose(1, 2).reshape(hidden.shape[0], -1, side, side)
        return torch.cat([hidden[:, :1], avg_pool2d(patches, side // self.grid).flatten(2).transpose(1, 2)], dim=1)

    def image_embedding(self, places: Tensor) -> Tensor:
        """[n, T, D] → unit vectors [n, E], of the whole and the mean of the places."""
        whole = (places[:, 0] + places[:, 1:].mean(dim=1)) / 2
        return normalize(self.dual.get_submodule("visual_projection")(whole), dim=-1)

    def meaning(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] → the mean of what the text tower says of a sentence's tokens, [n, width]."""
        there = (tokens != self.filling).to(torch.float32)
        tower = self.dual.get_submodule("text_model")
        hidden = tower(input_ids=tokens, attention_mask=blocking(there)).last_hidden_state
        mean: Tensor = (hidden * there[:, :, None]).sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1.0)
        return mean

    def text_embedding(self, meaning: Tensor) -> Tensor:
        """[n, width] → unit vectors [n, E]."""
        return normalize(self.dual.get_submodule("text_projection")(meaning), dim=-1)

    def similarity(self, images: Tensor, texts: Tensor) -> Tensor:
        """Cosines [n, m] of unit vectors [n, E] and [m, E], sharpened by the learned temperature."""
        return images @ texts.T * (SHARPEST * torch.sigmoid(self.dual.get_parameter("logit_scale")))

    def next_words(self, places: Tensor, words: Tensor) -> Tensor:
        """Logits [n, w, V] of the word after each of `words` int64 [n, w], having seen those before it."""
        memory = self.bridge(places)
        length = words.shape[1]
        seen = torch.ones(length, length).tril()[None] * (words != PADDING).to(torch.float32)[:, None]
        mask = ((1.0 - seen) * torch.finfo(torch.float32).min)[:, None]
        found = self.writer(input_ids=words, attention_mask=mask, encoder_hidden_states=memory, use_cache=False)
        logits: Tensor = found.logits
        return logits


def build(config: CaptionModel, meta: Mapping[str, Any], pretrained: bool = True) -> Captioner:
    """The network of a `model` section; `meta` has the `vocabulary` of the writer, the `tokenizer` and `tokens` a sentence.

    Raises:
        BitBloomError: weights that do not fit, or a `grid` that does not divide the patches of a photo.
    """
    tokenizer = Tokenizer.from_str(meta["tokenizer"])
    dual = _dual(config, tokenizer)
    network = Captioner(dual, _writer(config, meta), config, padding(tokenizer))
    if pretrained:
        _start(network, config)
    network.dual.get_parameter("logit_scale").data.fill_(SCALE_START)
    _freeze(network.dual.get_submodule("vision_model"), config.image_layers)
    _freeze(network.dual.get_submodule("text_model"), config.text_layers)
    return network


def _dual(config: CaptionModel, tokenizer: Tokenizer) -> nn.Module:
    """The two towers, as their own `build` functions make them for classifiers, without the classifiers' heads."""
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    image, text = _image_tower(config.image), _text_tower(config.text, tokenizer)
    both = VisionTextDualEncoderConfig.from_vision_text_configs(image.config, text.config, projection_dim=config.embedding_size)
    model: nn.Module = VisionTextDualEncoderModel(both, image, text)
    return model


def _image_tower(config: ImageModel) -> Any:
    """A `ViTModel` or `Dinov2Model`. Raises BitBloomError for a network that does not say something of each patch."""
    found = classifier.build(replace(config, weights="none" if config.architecture != "auto" else config.weights), 2, False)
    for name in ("model.vit", "model.dinov2"):
        try:
            return found.get_submodule(name)
        except AttributeError:
            continue
    raise BitBloomError(f"model.image.architecture '{config.architecture}' is no transformer of patches: take vit or dinov2")


def _text_tower(config: TextModel, tokenizer: Tokenizer) -> Any:
    """A `BertModel`."""
    if config.architecture != "bert":
        raise BitBloomError(f"model.text.architecture '{config.architecture}' is not bert, the one whose tokens can be averaged")
    meta = {"tokenizer": tokenizer.to_str(), "classes": ["one", "two"]}
    return text_classifier.build(replace(config, weights="none"), meta, False).get_submodule("model.bert")


def _writer(config: CaptionModel, meta: Mapping[str, Any]) -> nn.Module:
    from transformers import BertConfig, BertLMHeadModel

    shape = bert_sizes(config.writer) | {
        "vocab_size": len(meta["vocabulary"]),
        "max_position_embeddings": meta["tokens"] - 1,  # no word follows the last
        "pad_token_id": PADDING,
        "is_decoder": True,
        "add_cross_attention": True,
        "tie_word_embeddings": False,
    }
    model: Any = BertLMHeadModel(BertConfig(**shape))
    model.cls.predictions.register_parameter("bias", None)  # the decoder's own is used
    model.cls.predictions.decoder = PortableLinear.of(model.cls.predictions.decoder)
    whole: nn.Module = model
    return whole


def _start(network: Captioner, config: CaptionModel) -> None:
    """Draw what is new; load what the towers start from."""
    initialise.portable(network)
    for name, part, learning in (
        ("vision_model", config.image, config.image_layers),
        ("text_model", config.text, config.text_layers),
    ):
        tower = network.dual.get_submodule(name)
        if part.weights != "none":
            weights.load_backbone(tower, weights.state(part.weights))
        elif learning == 0:
            _draw_alone(tower)


def _draw_alone(tower: nn.Module) -> None:
    """Draw from the seed alone: the `features` stage knows the tower, and not how much else was drawn before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed())
        initialise.portable(tower)


def _freeze(tower: nn.Module, learning: int) -> None:
    """Only so many of the last layers, and what comes after them, learn; -1 is everything."""
    if learning < 0:
        return
    numbers = {name: int(found[1]) for name, _ in tower.named_parameters() if (found := LAYER.search(f".{name}"))}
    first = max(numbers.values(), default=-1) + 1 - learning
    for name, parameter in tower.named_parameters():
        after = name not in numbers and "embeddings" not in name and learning > 0
        parameter.requires_grad_(numbers.get(name, -1) >= first or after)
