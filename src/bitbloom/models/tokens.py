"""Texts as numbers: a tokenizer file of the `tokenizers` library, and rows of its tokens padded to one length.

The service encodes with the same function; it takes the tokenizer from the exported model's metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bitbloom.errors import BitBloomError

PADDING = 0
"""The token `[PAD]` of BERT's vocabularies."""
STEP = 8
"""Batches are cut to a multiple of so many tokens, so that there are few shapes."""


def open_tokenizer(file: Path, most: int) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, cutting texts at `most` tokens.

    Raises:
        BitBloomError: the file is missing, or it is something else.
    """
    if not file.is_file():
        raise BitBloomError(f"{file} is missing: prepare.tokenizer names a folder, or locked weights, that has a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing more precise
        raise BitBloomError(f"{file} is not a tokenizer of the `tokenizers` library: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> NDArray[np.int64]:
    """Tokens int64 [n, length] of some texts, PADDING behind each."""
    rows = np.full((len(texts), length), PADDING, dtype=np.int64)
    for row, encoding in zip(rows, tokenizer.encode_batch(list(texts)), strict=True):
        row[: len(encoding.ids)] = encoding.ids
    return rows


def longest(tokens: NDArray[np.int64]) -> int:
    """How many columns the longest row needs, in whole steps of STEP."""
    used = int((tokens != PADDING).sum(axis=1).max(initial=1))
    return min(-(-used // STEP) * STEP, int(tokens.shape[1]))
