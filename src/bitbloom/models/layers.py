"""Layers of transformers: their sizes and parameter names in the `transformers` package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitbloom.config.models.caption import Decoder
    from bitbloom.config.models.image import ImageModel
    from bitbloom.config.models.text import TextModel

EAGER = "eager"
"""Attention without fused kernels: the flash path of `scaled_dot_product_attention` differs between CPUs."""
LAYER = re.compile(r"\.layers?\.(\d+)\.")
"""The layer number in a parameter's name."""


def sizes(config: ImageModel | TextModel | Decoder) -> dict[str, Any]:
    """Return the keys that all configurations of `transformers` share: width, layers, heads, dropout and eager attention."""
    return {
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_dropout_prob": config.dropout,
        "attn_implementation": EAGER,
    }


def bert_sizes(config: TextModel | Decoder) -> dict[str, Any]:
    """Return the keys of a BERT configuration."""
    more = {"intermediate_size": config.hidden_size * config.mlp_ratio, "attention_probs_dropout_prob": config.dropout}
    return sizes(config) | more
