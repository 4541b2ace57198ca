"""Texts as numbers: a tokenizer file of the `tokenizers` library, and rows of its tokens padded to one length.

The service encodes with the same function; it takes the tokenizer from the exported model's metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bitbloom.core.errors import BitBloomError

PADDING = ("[PAD]", "<pad>")
"""What vocabularies call the token that fills rows up."""
STEP = 8
"""Batches are cut to a multiple of so many tokens, so that there are few shapes."""


def open_tokenizer(file: Path, length: int) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, which cuts texts, or fills them up, to `length` tokens.

    Raises:
        BitBloomError: the file is missing, it is something else, or its vocabulary has no padding.
    """
    if not file.is_file():
        raise BitBloomError(f"{file} is missing: prepare.tokenizer names a folder, or locked weights, that has a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing more precise
        raise BitBloomError(f"{file} is not a tokenizer of the `tokenizers` library: {error}") from error
    try:
        return fitted(tokenizer, length)
    except KeyError as error:
        raise BitBloomError(f"{file} has no token {' or '.join(PADDING)} to fill rows up with: take another tokenizer") from error


def fitted(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """The tokenizer itself, which now cuts texts, or fills them up, to `length` tokens. Raises KeyError without PADDING."""
    known = tokenizer.get_vocab()
    found = [name for name in PADDING if name in known]
    if not found:
        raise KeyError(PADDING)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=known[found[0]], pad_token=found[0])
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens int64 [n, length] of some texts, filled up, and how many of each row are its own, int64 [n]."""
    encodings = tokenizer.encode_batch(list(texts))
    rows = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    return rows, np.array([sum(encoding.attention_mask) for encoding in encodings], dtype=np.int64)


def padding(tokenizer: Tokenizer) -> int:
    """The number of the token that fills rows up."""
    return int((tokenizer.padding or {})["pad_id"])


def cut(rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The columns that the longest of some rows needs, in whole steps of STEP."""
    return rows[:, : -(-int(lengths.max(initial=1)) // STEP) * STEP]
