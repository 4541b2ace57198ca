"""Text classifiers: a BERT of given sizes, from random or locked weights, or any of transformers' by name.

Every network here maps tokens int64 [n, l], padded with the tokenizer's padding token, to logits float32 [n, classes].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from bitbloom.core.errors import BitBloomError
from bitbloom.models import initialise, weights
from bitbloom.models.layers import EAGER, bert_sizes
from bitbloom.models.linear import PortableLinear
from bitbloom.models.tokens import padding

if TYPE_CHECKING:
    from bitbloom.config.models.text import TextModel


def build(config: TextModel, meta: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Build the network that a `model` section describes; `meta` has `classes` and the `tokenizer`.

    Raises:
        BitBloomError: the architecture is unknown, or the weights do not fit it.
    """
    builders = {"bert": _bert, "auto": _auto}
    if config.architecture not in builders:
        raise BitBloomError(f"model.architecture '{config.architecture}' is none of {', '.join(builders)}")
    return builders[config.architecture](config, meta, pretrained)


class MeanOfTokens(nn.Module):
    """A classifier whose head reads the mean of all tokens, as sentence encoders are trained."""

    def __init__(self, model: Any, padding: int) -> None:
        super().__init__()
        model.classifier = PortableLinear.of(model.classifier)
        self.model: nn.Module = model
        self.padding = padding

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] → float32 [n, classes]."""
        mask = (tokens != self.padding).to(torch.float32)
        hidden = self.model.get_submodule("bert")(input_ids=tokens, attention_mask=additive_mask(mask)).last_hidden_state
        mean = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        dropped = self.model.get_submodule("dropout")(mean)
        logits: Tensor = self.model.get_submodule("classifier")(dropped)
        return logits


class Logits(nn.Module):
    """A classifier of the `transformers` package, reduced to a function from tokens to logits."""

    def __init__(self, model: Any, padding: int) -> None:
        super().__init__()
        self.model: nn.Module = model
        self.padding = padding

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] → float32 [n, classes]."""
        logits: Tensor = self.model(input_ids=tokens, attention_mask=(tokens != self.padding).long()).logits
        return logits


def additive_mask(mask: Tensor) -> Tensor:
    """1 for a token and 0 for padding [n, l] → terms added to attention scores [n, 1, 1, l]: 0, or the smallest float32."""
    return ((1.0 - mask) * torch.finfo(torch.float32).min)[:, None, None, :]


def _bert(config: TextModel, meta: Mapping[str, Any], pretrained: bool) -> nn.Module:
    """Build a `BertForSequenceClassification` with the tokenizer's vocabulary size (Devlin et al. 2018, arXiv:1810.04805)."""
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = Tokenizer.from_str(meta["tokenizer"])
    shape = bert_sizes(config) | {
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": config.positions,
        "num_labels": len(meta["classes"]),
    }
    model: Any = BertForSequenceClassification(BertConfig(**shape))
    model.bert.pooler = None  # the head reads the mean of the tokens
    network = MeanOfTokens(model, padding(tokenizer))
    if pretrained:
        initialise.portable(network)
        if config.weights != "none":
            weights.load_backbone(network.get_submodule("model.bert"), weights.state(config.weights))
            initialise.zero(network.get_submodule("model.classifier"))
    return network


def _auto(config: TextModel, meta: Mapping[str, Any], pretrained: bool) -> nn.Module:
    """Build any `AutoModelForSequenceClassification`, from a hub repository at a pinned revision or a folder."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    name, revision = weights.location(config.weights)
    padding_token = padding(Tokenizer.from_str(meta["tokenizer"]))
    common: dict[str, Any] = {"revision": revision, "num_labels": len(meta["classes"])}
    if not pretrained:
        found = AutoConfig.from_pretrained(name, **common)
        return Logits(AutoModelForSequenceClassification.from_config(found, attn_implementation=EAGER), padding_token)  # type: ignore[no-untyped-call]
    model = AutoModelForSequenceClassification.from_pretrained(
        name, **common, attn_implementation=EAGER, ignore_mismatched_sizes=True
    )
    return Logits(model, padding_token)
