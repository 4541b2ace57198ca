"""Layers of transformers: their sizes and the names of their parameters, as the `transformers` package has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitbloom.config.models.caption import Writer
    from bitbloom.config.models.image import ImageModel
    from bitbloom.config.models.text import TextModel

EAGER = "eager"
"""Attention written out: the flash path of `scaled_dot_product_attention` differs between CPUs."""
LAYER = re.compile(r"\.layers?\.(\d+)\.")
"""A parameter's layer in the names of transformers' models."""


def sizes(config: ImageModel | TextModel | Writer) -> dict[str, Any]:
    """The keys that all configurations of `transformers` share: width, layers, heads, dropout, and eager attention."""
    return {
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_dropout_prob": config.dropout,
        "attn_implementation": EAGER,
    }


def bert_sizes(config: TextModel | Writer) -> dict[str, Any]:
    """The same of a BERT, with what it has beside them."""
    more = {"intermediate_size": config.hidden_size * config.mlp_ratio, "attention_probs_dropout_prob": config.dropout}
    return sizes(config) | more
